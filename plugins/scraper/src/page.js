// Reads what the extraction by fields does not: address, title, links, metadata and tables, in one round trip.
// `argument`: { links, metadata, tables: boolean, follow: null | "" | selector }.
// Bounded here already, so that a giant page does not make a giant of the answer. One expression, for `evaluate`.
((want) => {
  const clean = (text, max) => String(text ?? "").replace(/\s+/g, " ").trim().slice(0, max);
  const anchors = (scope) => {
    const found = [];
    for (const a of scope.querySelectorAll("a[href], area[href]")) {
      // An SVG link's `href` is an object.
      if (typeof a.href === "string" && /^https?:/i.test(a.href) && a.href.length <= 2048) found.push(a);
      if (found.length >= 10000) break;
    }
    return found;
  };
  const out = { url: location.href, title: clean(document.title, 1000) };

  if (want.follow !== null) {
    const all = anchors(document);
    const within = want.follow === "" ? all : all.filter((a) => a.closest(want.follow));
    out.follow = within.map((a) => a.href);
  }
  if (want.links) {
    out.links = anchors(document).map((a) => ({
      url: a.href,
      text: clean(a.innerText || a.textContent || a.getAttribute("aria-label") || a.alt, 300),
    }));
  }
  if (want.metadata) {
    const content = (selector) => document.querySelector(selector)?.getAttribute("content") ?? null;
    const canonical = document.querySelector('link[rel~="canonical" i][href]');
    const jsonLd = [];
    let room = 262144;
    for (const script of document.querySelectorAll('script[type="application/ld+json" i]')) {
      const text = script.textContent;
      room -= text.length;
      if (room < 0 || jsonLd.length >= 100) break;
      jsonLd.push(text);
    }
    out.metadata = {
      description: content('meta[name="description" i]')?.slice(0, 10000) ?? null,
      lang: document.documentElement.getAttribute("lang"),
      canonical: typeof canonical?.href === "string" ? canonical.href.slice(0, 2048) : null,
      open_graph: [...document.querySelectorAll('meta[property^="og:" i][content]')]
        .slice(0, 200)
        .map((meta) => [
          meta.getAttribute("property").slice(3, 100),
          meta.getAttribute("content").slice(0, 4096),
        ]),
      json_ld: jsonLd,
    };
  }
  if (want.tables) {
    let room = 20000; // cells of all tables together
    out.tables = [];
    for (const table of [...document.querySelectorAll("table")].slice(0, 100)) {
      // Cells that span are repeated: `carry` holds what hangs down from the rows above, by column.
      const carry = [];
      const rows = [];
      for (const row of table.rows) {
        const texts = [];
        let allHeads = row.cells.length > 0;
        let column = 0;
        const hang = () => {
          while (carry[column]?.rows > 0) {
            carry[column].rows -= 1;
            texts[column] = carry[column].text;
            column += 1;
          }
        };
        for (const cell of row.cells) {
          hang();
          if (cell.tagName !== "TH") allHeads = false;
          const text = clean(cell.innerText ?? cell.textContent, 5000);
          const wide = Math.min(Math.max(cell.colSpan, 1), 100);
          const tall = Math.min(Math.max(cell.rowSpan, 1), 1000);
          for (let i = 0; i < wide && column < 200; i += 1) {
            texts[column] = text;
            carry[column] = { rows: tall - 1, text };
            column += 1;
          }
        }
        hang();
        room -= texts.length;
        if (room < 0) break;
        rows.push({
          head: allHeads || row.parentElement?.tagName === "THEAD",
          texts: Array.from(texts, (text) => text ?? ""),
        });
      }
      if (rows.length > 0) {
        out.tables.push({ caption: table.caption ? clean(table.caption.textContent, 1000) : null, rows });
      }
      if (room < 0) {
        out.cells_left_out = true;
        break;
      }
    }
  }
  return out;
})(argument)
