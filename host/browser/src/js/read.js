// Reading: text, attributes, counts, and whole extractions in one call.

const inputValue = getter(HTMLInputElement.prototype, 'value');
const areaValue = getter(HTMLTextAreaElement.prototype, 'value');
const selectValue = getter(HTMLSelectElement.prototype, 'value');
const inputChecked = getter(HTMLInputElement.prototype, 'checked');
const baseUri = getter(Node.prototype, 'baseURI');
const readyState = getter(Document.prototype, 'readyState');

// Attributes that hold an address: given absolute, as the browser would follow them.
const ADDRESSES = new Set(['href', 'src', 'action', 'formaction', 'poster', 'cite', 'data']);

// The answer would be larger than the host takes.
class LimitError extends Error {}

// Counts the characters that go to the host and stops a reading that would be too large.
const budgetOf = (limit) => {
  let left = limit;
  return (text) => {
    // 16: quotes, commas and a key take their room as well.
    left -= 16 + (text === null ? 0 : text.length);
    if (left < 0) throw new LimitError(`the result is larger than ${limit} characters`);
    return text;
  };
};

const valueOf = (element) => {
  if (element instanceof HTMLInputElement) return inputValue(element);
  if (element instanceof HTMLTextAreaElement) return areaValue(element);
  if (element instanceof HTMLSelectElement) return selectValue(element);
  if (isHtml(element) && isContentEditable(element)) return innerTextOf(element);
  return attribute(element, 'value');
};

const attributeOf = (element, name) => {
  const value = attribute(element, name);
  if (value === null || !ADDRESSES.has(name.toLowerCase())) return value;
  try {
    return new URL(value, baseUri(element)).href;
  } catch {
    return value;
  }
};

// What a field takes from an element. `=name` is the attribute as written, `@name` with addresses made absolute.
const take = (element, what) => {
  if (what === null || what === undefined) return visibleText(element);
  if (what.startsWith('=')) return attribute(element, what.slice(1));
  if (what.startsWith('@')) return attributeOf(element, what.slice(1));
  if (what === 'html') return innerHtml(element);
  if (what === 'outer-html') return outerHtml(element);
  return valueOf(element);
};

// One object: each field's value below `root`. A field that is not there is null, or an empty list.
const record = (root, fields, charge) => {
  const out = Object.create(null);
  for (const field of fields) {
    charge(field.name);
    const found = query(root, field.step);
    if (field.many) out[field.name] = found.map((one) => charge(take(one, field.take)));
    else out[field.name] = found.length > 0 ? charge(take(found[0], field.take)) : null;
  }
  return out;
};

const reads = {
  extract: ({ each, fields, limit }) => {
    const charge = budgetOf(limit);
    if (!each) return record(document, fields, charge);
    return query(document, each).map((root) => record(root, fields, charge));
  },

  // The first element's reading, or `{ missing: true }`.
  first: ({ step, take: what, limit }) => {
    const found = query(document, step);
    return found.length === 0 ? { missing: true } : { value: budgetOf(limit)(take(found[0], what)) };
  },

  count: ({ step }) => query(document, step).length,

  article: ({ limit }) => budgetOf(limit)(articleText()),

  // How many elements the step selects, and whether any can be seen.
  presence: ({ step }) => {
    const found = query(document, step);
    return { count: found.length, visible: found.some(isVisible), example: found.length > 0 ? describe(found[0]) : null };
  },
};
