// Selectors: what a parsed step selects below a root, in document order, open shadow roots pierced.
//
// A step comes parsed from the host, so nothing of a selector's outer syntax is read here:
//   { kind: 'css', css, alternatives: [[part, …], …] }   the parts of an alternative are joined by descendant spaces
//   { kind: 'text', text, exact }
//   { kind: 'role', role, name }                         name absent: any
//   { kind: 'xpath', path }
//   { kind: 'self' }                                     the root itself

// A mistake in the selector itself: reported at once instead of waited for.
class SelectorError extends Error {}

// The open shadow roots below `root`, outermost first.
const openShadowRoots = (root) => {
  const found = [];
  const visit = (scope) => {
    if (isElement(scope) && shadowRoot(scope)) {
      found.push(shadowRoot(scope));
      visit(shadowRoot(scope));
    }
    for (const element of queryAll(scope, '*')) {
      const inner = shadowRoot(element);
      if (inner) {
        found.push(inner);
        visit(inner);
      }
    }
  };
  visit(root);
  return found;
};

// All elements below `root` in the order of the flat reading: an element, what is in its shadow root, its children.
const allElements = function* (root) {
  if (isElement(root) && shadowRoot(root)) yield* allElements(shadowRoot(root));
  for (let child = firstChild(root); child; child = nextSibling(child)) {
    if (!isElement(child)) continue;
    yield child;
    yield* allElements(child);
  }
};

// Whether the element matches an alternative of descendant parts, ancestors being looked for across shadow borders.
const matchesPierced = (element, parts) => {
  let last = parts.length - 1;
  if (!matches(element, parts[last])) return false;
  // The nearest ancestor that matches a part is the right one: what a farther one allows, it allows too.
  for (let node = composedOrHostParent(element); node && last > 0; node = composedOrHostParent(node)) {
    if (isElement(node) && matches(node, parts[last - 1])) last -= 1;
  }
  return last === 0;
};

// The parent for CSS ancestry: out of a shadow root to its host, without the detour through slots.
const composedOrHostParent = (node) => {
  const parent = parentNode(node);
  return parent && isShadowRoot(parent) ? parent.host : parent;
};

const queryCss = (root, step) => {
  try {
    const plain = Array.from(queryAll(root, step.css));
    if (openShadowRoots(root).length === 0) return plain;
    const found = [];
    for (const element of allElements(root)) {
      if (step.alternatives.some((parts) => matchesPierced(element, parts))) found.push(element);
    }
    // What CSS itself finds counts as well: `:scope`, and combinators that were not taken apart.
    return Array.from(new Set([...found, ...plain]));
  } catch (error) {
    if (error instanceof DOMException) throw new SelectorError('it is not valid CSS');
    throw error;
  }
};

const queryXpath = (root, step) => {
  try {
    const ordered = XPathResult.ORDERED_NODE_SNAPSHOT_TYPE;
    const result = new XPathEvaluator().evaluate(step.path, root, null, ordered, null);
    const found = [];
    for (let index = 0; index < result.snapshotLength; index += 1) {
      if (isElement(result.snapshotItem(index))) found.push(result.snapshotItem(index));
    }
    return found;
  } catch (error) {
    // A TypeError: the expression is valid, but gives a number or text.
    if (error instanceof DOMException || error instanceof TypeError) {
      throw new SelectorError('it is not a valid XPath to elements');
    }
    throw error;
  }
};

// Elements whose text nobody reads.
const UNREAD = new Set(['script', 'style', 'noscript', 'template', 'head', 'title', 'meta', 'link']);

// What `text=` compares: the text, or the label of a button made by `<input>`.
const ownText = (element) => {
  if (localName(element) === 'input') {
    return ['submit', 'button', 'reset'].includes(attribute(element, 'type')) ? attribute(element, 'value') || '' : '';
  }
  return normalise(textContent(element) || '');
};

// The innermost elements with the text: contained and case ignored, or, when exact, the whole text as written.
const queryText = (root, step) => {
  const wanted = step.exact ? step.text : step.text.toLowerCase();
  const has = (element) => {
    const text = ownText(element);
    return step.exact ? text === wanted : text.toLowerCase().includes(wanted);
  };
  const candidates = [];
  for (const element of allElements(root)) if (!UNREAD.has(localName(element)) && has(element)) candidates.push(element);
  const outer = new Set();
  for (const element of candidates) {
    for (let node = composedOrHostParent(element); node; node = composedOrHostParent(node)) outer.add(node);
  }
  return candidates.filter((element) => !outer.has(element));
};

const queryRole = (root, step) => {
  const wanted = step.name === undefined || step.name === null ? null : normalise(step.name).toLowerCase();
  const found = [];
  for (const element of allElements(root)) {
    if (roleOf(element) !== step.role || !isExposed(element)) continue;
    if (wanted === null || accessibleName(element).toLowerCase() === wanted) found.push(element);
  }
  return found;
};

const query = (root, step) => {
  if (step.kind === 'self') return isElement(root) ? [root] : [documentElement(root)];
  if (step.kind === 'css') return queryCss(root, step);
  if (step.kind === 'text') return queryText(root, step);
  if (step.kind === 'role') return queryRole(root, step);
  return queryXpath(root, step);
};

// The element that an action means: the first that can be seen, else the first at all. Pages keep hidden twins of
// menus and buttons for other screen sizes.
const pick = (step) => {
  const found = query(document, step);
  for (const element of found) if (isVisible(element)) return element;
  return found.length > 0 ? found[0] : null;
};
