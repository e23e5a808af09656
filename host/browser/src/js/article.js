// The main text of a document, as a reader view would show it.
//
// The heuristic: text lies in paragraphs, and the element that holds most of them, with few of their words inside
// links, is the article. Each paragraph of at least 25 characters gives its parent points for its length and its
// commas, and its grandparent half of them; points are then scaled down by the share of text that lies in links. A
// single `<article>` or `<main>` with a good part of the page's text is believed outright. What is not rendered, and
// what a page says is not content (navigation, banners, forms, asides), is left out.

// The fewest characters of a paragraph that counts: shorter ones are captions and buttons.
const LEAST_PARAGRAPH = 25;
// The fewest characters for which an author's own `<article>` or `<main>` is believed.
const LEAST_ARTICLE = 140;
// Depth at which the walk stops: deeper nesting is an attack on the stack, not a text.
const DEEPEST = 400;

const PARAGRAPHS = 'p, pre, blockquote, li, td, dd';
const NOT_CONTENT =
  'nav, aside, form, dialog, menu, iframe, object, canvas, svg, video, audio, button, select, textarea, input, ' +
  '[role="navigation"], [role="banner"], [role="contentinfo"], [role="search"], [role="dialog"], [role="alert"], ' +
  '[role="complementary"], [aria-hidden="true"], body > header, body > footer';
const LOOKS_LIKE_CLUTTER = /cookie|consent|sidebar|breadcrumb|share|social|related|promo|advert|newsletter|comment|popup|modal/i;
const BLOCK_DISPLAY = /^(block|flex|grid|table|list-item|flow-root|table-row|table-caption)/;

// Whether the reader leaves an element out. A clutter word in its class counts only for what is mostly links or short.
const isClutter = (element) => {
  if (matches(element, NOT_CONTENT)) return true;
  const label = `${attribute(element, 'class') || ''} ${attribute(element, 'id') || ''}`;
  if (!LOOKS_LIKE_CLUTTER.test(label)) return false;
  return (textContent(element) || '').length < 1000 || linkShare(element) > 0.3;
};

// The share of an element's text that lies inside links.
const linkShare = (element) => {
  const all = normalise(textContent(element) || '').length;
  if (all === 0) return 0;
  let linked = 0;
  for (const link of queryAll(element, 'a')) linked += normalise(textContent(link) || '').length;
  return Math.min(1, linked / all);
};

// The rendered text below an element, a line a block, shadow roots and slots followed. `skip` leaves elements out.
const readableText = (element, skip = () => false) => {
  let text = '';
  const line = () => {
    if (text !== '' && !text.endsWith('\n')) text += '\n';
  };
  const children = function* (node) {
    if (localName(node) === 'slot' && node instanceof HTMLSlotElement) {
      const assigned = HTMLSlotElement.prototype.assignedNodes.call(node);
      if (assigned.length > 0) {
        yield* assigned;
        return;
      }
    }
    for (let child = firstChild(shadowRoot(node) || node); child; child = nextSibling(child)) yield child;
  };
  const walk = (node, depth, preformatted) => {
    if (nodeType(node) === 3) {
      const words = textContent(node);
      text += preformatted ? words : words.replace(/\s+/g, ' ');
      return;
    }
    if (!isElement(node) || depth > DEEPEST || UNREAD.has(localName(node)) || skip(node)) return;
    const style = getComputedStyle(node);
    if (style.display === 'none' || style.visibility === 'hidden') return;
    const block = BLOCK_DISPLAY.test(style.display);
    if (localName(node) === 'br') text += '\n';
    if (block) line();
    if (localName(node) === 'li') text += '- ';
    for (const child of children(node)) walk(child, depth + 1, preformatted || style.whiteSpace.startsWith('pre'));
    if (style.display === 'table-cell') text += '\t';
    if (block) line();
  };
  walk(element, 0, false);
  return text;
};

// The element that holds the article.
const articleRoot = () => {
  const body = documentBody(document) || documentElement(document);
  for (const tag of ['article', 'main, [role="main"]']) {
    const marked = Array.from(queryAll(document, tag)).filter((one) => isVisible(one));
    if (marked.length === 1 && normalise(textContent(marked[0])).length >= LEAST_ARTICLE) return marked[0];
  }
  const points = new Map();
  const give = (element, amount) => {
    if (isElement(element)) points.set(element, (points.get(element) || 0) + amount);
  };
  for (const element of allElements(body)) {
    if (!matches(element, PARAGRAPHS) || closest(element, NOT_CONTENT)) continue;
    const text = normalise(textContent(element) || '');
    if (text.length < LEAST_PARAGRAPH || !isVisible(element)) continue;
    // One for being there, one a comma, one for each hundred characters up to three: prose, not lists of links.
    const amount = 1 + text.split(/[,،、，]/).length - 1 + Math.min(3, Math.floor(text.length / 100));
    const parent = composedParent(element);
    give(parent, amount);
    if (parent) give(composedParent(parent), amount / 2);
  }
  let best = body;
  let most = 0;
  for (const [element, amount] of points) {
    const scaled = amount * (1 - linkShare(element));
    if (scaled > most && element !== documentElement(document)) {
      best = element;
      most = scaled;
    }
  }
  return best;
};

const articleText = () => {
  const root = articleRoot();
  const text = readableText(root, (element) => element !== root && isClutter(element));
  // Lines without trailing space, no empty lines in a row.
  return text.split('\n').map((one) => one.replace(/[ \t]+$/, '')).filter((one) => one.trim() !== '').join('\n');
};
