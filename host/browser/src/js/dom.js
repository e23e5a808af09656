// Reading the DOM without being fooled by it.
//
// This engine runs in an isolated world, so a page's variables and overridden built-ins do not reach it. The DOM is
// shared, though, and a form or a document hides its own members behind named children: in
// `<form><input name="getAttribute"></form>` the expression `form.getAttribute` is the input. So members are never
// read off a node; they are taken from the prototypes once and applied to the node.

// A getter of `proto` as a plain function.
const getter = (proto, name) => {
  const read = Object.getOwnPropertyDescriptor(proto, name).get;
  return (node) => Reflect.apply(read, node, []);
};

// A method of `proto` as a plain function whose first parameter is the receiver.
const method = (proto, name) => {
  const run = proto[name];
  return (node, ...rest) => Reflect.apply(run, node, rest);
};

const nodeType = getter(Node.prototype, 'nodeType');
const parentNode = getter(Node.prototype, 'parentNode');
const firstChild = getter(Node.prototype, 'firstChild');
const nextSibling = getter(Node.prototype, 'nextSibling');
const textContent = getter(Node.prototype, 'textContent');
const isConnected = getter(Node.prototype, 'isConnected');
const contains = method(Node.prototype, 'contains');
const rootNode = method(Node.prototype, 'getRootNode');
const listen = method(EventTarget.prototype, 'addEventListener');
const unlisten = method(EventTarget.prototype, 'removeEventListener');
const dispatch = method(EventTarget.prototype, 'dispatchEvent');

const localName = getter(Element.prototype, 'localName');
const shadowRoot = getter(Element.prototype, 'shadowRoot');
const assignedSlot = getter(Element.prototype, 'assignedSlot');
const innerHtml = getter(Element.prototype, 'innerHTML');
const outerHtml = getter(Element.prototype, 'outerHTML');
const attribute = method(Element.prototype, 'getAttribute');
const hasAttribute = method(Element.prototype, 'hasAttribute');
const matches = method(Element.prototype, 'matches');
const closest = method(Element.prototype, 'closest');
const clientRects = method(Element.prototype, 'getClientRects');
const boundingRect = method(Element.prototype, 'getBoundingClientRect');
const checkVisibility = method(Element.prototype, 'checkVisibility');
const scrollIntoView = method(Element.prototype, 'scrollIntoView');
const innerTextOf = getter(HTMLElement.prototype, 'innerText');
const isContentEditable = getter(HTMLElement.prototype, 'isContentEditable');
const focusElement = method(HTMLElement.prototype, 'focus');

const documentElement = getter(Document.prototype, 'documentElement');
const documentBody = getter(Document.prototype, 'body');
const scrollingElement = getter(Document.prototype, 'scrollingElement');

const isElement = (node) => node !== null && nodeType(node) === 1;
const isHtml = (node) => node instanceof HTMLElement;
const isShadowRoot = (node) => node instanceof ShadowRoot;

// `querySelectorAll`, `elementFromPoint` and `activeElement` exist once for each kind of root.
const rootMember = (onDocument, onShadow, onElement) => (root, ...rest) => {
  if (isShadowRoot(root)) return onShadow(root, ...rest);
  return isElement(root) ? onElement(root, ...rest) : onDocument(root, ...rest);
};
const queryAll = rootMember(
  method(Document.prototype, 'querySelectorAll'),
  method(DocumentFragment.prototype, 'querySelectorAll'),
  method(Element.prototype, 'querySelectorAll'),
);
const elementFromPoint = rootMember(
  method(Document.prototype, 'elementFromPoint'),
  method(ShadowRoot.prototype, 'elementFromPoint'),
  () => null,
);
const activeElement = rootMember(
  getter(Document.prototype, 'activeElement'),
  getter(ShadowRoot.prototype, 'activeElement'),
  () => null,
);

// The parent as the flat tree has it: slots and shadow hosts included.
const composedParent = (node) => {
  if (isElement(node) && assignedSlot(node)) return assignedSlot(node);
  const parent = parentNode(node);
  return parent && isShadowRoot(parent) ? parent.host : parent;
};

// Whether `inner` is `outer` or lies below it in the flat tree.
const composedContains = (outer, inner) => {
  for (let node = inner; node; node = composedParent(node)) if (node === outer) return true;
  return false;
};

// The element that has the focus, also when it lies in open shadow roots.
const deepActiveElement = () => {
  let active = activeElement(document);
  while (active && shadowRoot(active) && activeElement(shadowRoot(active))) active = activeElement(shadowRoot(active));
  return active;
};

// The element at a point of the viewport, also when it lies in open shadow roots.
const deepElementFromPoint = (x, y) => {
  let found = elementFromPoint(document, x, y);
  while (found && shadowRoot(found)) {
    const inner = elementFromPoint(shadowRoot(found), x, y);
    if (!inner || inner === found) break;
    found = inner;
  }
  return found;
};

// White space as HTML shows it: runs are one space, none at the ends.
const normalise = (text) => text.replace(/\s+/g, ' ').trim();

// Whether a person could see the element: it has a box and is not hidden by style. An element without a box of its
// own (`display: contents`) is as visible as its children.
const isVisible = (element) => {
  if (!checkVisibility(element, { visibilityProperty: true, contentVisibilityAuto: false })) {
    if (getComputedStyle(element).display !== 'contents') return false;
    for (let child = firstChild(element); child; child = nextSibling(child)) {
      if (isElement(child) && isVisible(child)) return true;
    }
    return false;
  }
  const box = boundingRect(element);
  return box.width > 0 && box.height > 0;
};

// The text as a person reads it, white space normalised. Elements that are not rendered give their text as written.
// `innerText` leaves out shadow roots, so where there are some the reader's own walk is taken.
const visibleText = (element) => {
  if (!isHtml(element)) return normalise(textContent(element) || '');
  if (openShadowRoots(element).length > 0) return normalise(readableText(element));
  return normalise(innerTextOf(element));
};

// An element in a few words, for messages: `<button id="buy" class="big">Buy now`. At most 120 characters.
const describe = (element) => {
  let words = `<${localName(element)}`;
  for (const name of ['id', 'class', 'name', 'type', 'role']) {
    const value = attribute(element, name);
    if (value) words += ` ${name}="${value.slice(0, 40)}"`;
  }
  const text = normalise((textContent(element) || '').slice(0, 200)).slice(0, 30);
  return (words + '>' + text).slice(0, 120);
};
