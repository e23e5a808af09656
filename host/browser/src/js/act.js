// Acting: is an element ready, where is it, did the click arrive, what does the field hold.
//
// The host does the waiting and sends the input; each function here looks once and says what it found:
//   { ok: true, … }      ready
//   { waiting: '…' }     not yet, and what is missing
//   { error: '…' }       it will never be
// The element found by a look is kept until the next one, so that the steps of an action mean the same element.

// What the steps of one action remember. Actions may overlap, so each has a slot of its own, found by its token.
// `memory` is the slot of the call being served: calls are synchronous, so it cannot change under one.
const slots = new Map();
let memory = null;

// Slots kept: more actions than this do not run on one page at once, and a host that was cut off forgets its own.
const MOST_SLOTS = 64;

const useSlot = (token) => {
  if (!slots.has(token)) {
    if (slots.size >= MOST_SLOTS) slots.delete(slots.keys().next().value);
    slots.set(token, { element: null, box: null, frame: null, watch: null, candidates: [] });
  }
  memory = slots.get(token);
};

// Ways to bring an element into view, tried in turn: a sticky bar can cover it in one place and not in another.
const PLACES = ['center', 'end', 'start'];

const offsetWidth = getter(HTMLElement.prototype, 'offsetWidth');
const clientLeft = getter(Element.prototype, 'clientLeft');
const clientTop = getter(Element.prototype, 'clientTop');
const isDisabled = (element) => matches(element, ':disabled') || closest(element, '[aria-disabled="true"]') !== null;
const isReadOnly = (element) =>
  hasAttribute(element, 'readonly') || attribute(element, 'aria-readonly') === 'true';

const boxOf = (element) => {
  const { x, y, width, height } = boundingRect(element);
  return { x, y, width, height };
};

const sameBox = (one, other) =>
  one !== null && one.x === other.x && one.y === other.y && one.width === other.width && one.height === other.height;

// The point to press: the given offset, or the middle of the first line box that has a size.
const pointOf = (element, at) => {
  const box = boundingRect(element);
  if (at) return { x: box.x + at[0], y: box.y + at[1] };
  const line = Array.from(clientRects(element)).find((one) => one.width > 0 && one.height > 0) || box;
  return { x: line.x + line.width / 2, y: line.y + line.height / 2 };
};

const inViewport = ({ x, y }) => x >= 0 && y >= 0 && x < window.innerWidth && y < window.innerHeight;

// Whether a press on `hit` reaches `element`: it is inside, or it belongs to the element's label.
const reaches = (element, hit) => {
  if (composedContains(element, hit)) return true;
  return labelsOf(element).some((label) => composedContains(label, hit));
};

// What is in the way at a point; null when the element receives it.
const obstacle = (element, point) => {
  const hit = deepElementFromPoint(point.x, point.y);
  if (!hit) return 'nothing receives the pointer there';
  return reaches(element, hit) ? null : `${describe(hit)} covers it`;
};

// A box that is checked through its label is often hidden itself: the label is what a person presses.
const labelInstead = (element) => labelsOf(element).find(isVisible) || element;

const acts = {
  // Looks at the element of `step`. `wants` lists what must hold besides being attached: `visible`, `enabled`,
  // `editable`, `hit`, and `stable`: the box of the last look (a page that replaces the element all the time, but in
  // place, is still). `label` allows a visible label to stand for a hidden field. `at` is an offset for the point.
  // `round` counts the looks of this action.
  look: ({ step, wants, at, round }) => {
    const lastBox = memory.box;
    let element = pick(step);
    memory.element = element;
    memory.box = null;
    if (!element) return { waiting: 'no element matches it' };
    if (wants.includes('label') && !isVisible(element)) element = labelInstead(element);
    if (wants.includes('visible') && !isVisible(element)) return { waiting: `${describe(element)} is not visible` };
    if (wants.includes('enabled') && isDisabled(memory.element)) return { waiting: `${describe(element)} is disabled` };
    if (wants.includes('editable') && isReadOnly(memory.element)) return { waiting: `${describe(element)} is read-only` };
    if (!inViewport(pointOf(element, at))) {
      const place = PLACES[Math.floor(round / 4) % PLACES.length];
      scrollIntoView(element, { block: place, inline: 'center', behavior: 'instant' });
    }
    const box = boxOf(element);
    memory.box = box;
    if (wants.includes('stable') && !sameBox(lastBox, box)) return { waiting: `${describe(element)} is moving` };
    const point = pointOf(element, at);
    if (wants.includes('hit')) {
      if (!inViewport(point)) return { waiting: `${describe(element)} cannot be scrolled into view` };
      const blocked = obstacle(element, point);
      if (blocked) {
        const place = PLACES[Math.floor(round / 4) % PLACES.length];
        if (round % 4 === 3) scrollIntoView(element, { block: place, inline: 'center', behavior: 'instant' });
        return { waiting: `${describe(element)} does not receive the pointer: ${blocked}` };
      }
    }
    return { ok: true, x: point.x, y: point.y, box };
  },

  // The element's box in the viewport, and how far the document is scrolled.
  box: () => {
    if (!memory.element || !isConnected(memory.element)) return { waiting: 'it was replaced' };
    return { ok: true, box: boxOf(memory.element), scrollX: window.scrollX, scrollY: window.scrollY };
  },

  scrolled: () => ({ x: window.scrollX, y: window.scrollY }),

  // Looks for the frame that `step` selects and keeps it.
  frame: ({ step }) => {
    const element = pick(step);
    memory.frame = element;
    if (!element) return { waiting: 'no element matches it' };
    if (!['iframe', 'frame'].includes(localName(element))) return { error: `${describe(element)} is not a frame` };
    return { ok: true };
  },

  // Where a point of the kept frame's own viewport lies in this one, and whether the pointer gets there.
  framePoint: ({ x, y, hit }) => {
    const frame = memory.frame;
    if (!frame || !isConnected(frame)) return { waiting: 'its frame was replaced' };
    const box = boundingRect(frame);
    const style = getComputedStyle(frame);
    const scale = offsetWidth(frame) > 0 ? box.width / offsetWidth(frame) : 1;
    const point = {
      x: box.x + (clientLeft(frame) + parseFloat(style.paddingLeft) + x) * scale,
      y: box.y + (clientTop(frame) + parseFloat(style.paddingTop) + y) * scale,
    };
    if (hit && !inViewport(point)) return { waiting: 'its frame cannot be scrolled into view' };
    if (hit && deepElementFromPoint(point.x, point.y) !== frame) {
      const cover = deepElementFromPoint(point.x, point.y);
      return { waiting: `its frame does not receive the pointer: ${cover ? describe(cover) : 'nothing'} covers it` };
    }
    return { ok: true, ...point };
  },

  // Watches where the coming press arrives. `done` is the event that ends it: `click`, `auxclick` or `contextmenu`.
  // What the selector means is asked again at the moment of the event, for pages that replace elements all the time.
  watch: ({ step, done }) => {
    // Replaced in place since the look: its successor is where the pointer goes.
    if (memory.element && !isConnected(memory.element)) memory.element = pick(step);
    const element = memory.element;
    if (!element) return { waiting: 'it was replaced' };
    const seen = { down: null, done: null, removed: false };
    const arrives = (event) => {
      const target = event.composedPath()[0];
      if (!(target instanceof Node)) return false;
      const now = pick(step);
      return reaches(element, target) || (now !== null && reaches(now, target));
    };
    const down = (event) => { if (event.isTrusted) seen.down = arrives(event); };
    // Last in the bubbling: the page's own listeners have run. One that acts on the press and removes the element
    // leaves nothing to click on, and has done its work.
    const downDone = (event) => { if (event.isTrusted && seen.down) seen.removed = !isConnected(event.composedPath()[0]); };
    const finished = (event) => { if (event.isTrusted) seen.done = seen.done || arrives(event); };
    listen(window, 'mousedown', down, true);
    listen(window, 'mousedown', downDone, false);
    listen(window, done, finished, true);
    memory.watch = { seen, stop: () => {
      unlisten(window, 'mousedown', down, true);
      unlisten(window, 'mousedown', downDone, false);
      unlisten(window, done, finished, true);
    } };
    return { ok: true };
  },

  // Whether the press arrived. Nothing seen at all counts as arrived: a page may stop events before they reach us,
  // and pressing twice is worse than a press that cannot be proved.
  arrived: () => {
    const watch = memory.watch;
    if (!watch) return { ok: true };
    watch.stop();
    memory.watch = null;
    const { down, done, removed } = watch.seen;
    if (done || removed || (down === null && done === null)) return { ok: true };
    return { waiting: 'it was replaced or covered between the look and the press' };
  },

  // Scrolls one screen down; says whether the end was reached and how long the page is.
  scrollStep: () => {
    const target = scroller();
    const before = scrollTop(target);
    scrollBy(target, { top: Math.max(100, clientHeight(target)), behavior: 'instant' });
    return { moved: scrollTop(target) > before, height: scrollHeight(target) };
  },

  scrollHeight: () => scrollHeight(scroller()),

  // Elements that may have a closed shadow root, which only the host can tell: custom elements, and boxes that show
  // something though they have no content of their own. Kept for `candidate`.
  closedCandidates: () => {
    const found = [];
    for (const element of allElements(documentElement(document))) {
      if (found.length >= MOST_CANDIDATES) break;
      if (shadowRoot(element) || !isHtml(element)) continue;
      const custom = localName(element).includes('-');
      const hollow = HOSTS.has(localName(element)) && !firstChild(element) && isVisible(element);
      if (custom || hollow) found.push(element);
    }
    memory.candidates = found;
    return found.map(describe);
  },

  // The action is over.
  forget: () => {
    if (memory.watch) memory.watch.stop();
    for (const [token, slot] of slots) if (slot === memory) slots.delete(token);
    return true;
  },
};

// Built-in elements that may carry a shadow root, and how many candidates are worth a question each.
const HOSTS = new Set(['article', 'aside', 'div', 'footer', 'header', 'main', 'nav', 'p', 'section', 'span']);
const MOST_CANDIDATES = 20;

const scrollTop = getter(Element.prototype, 'scrollTop');
const scrollHeight = getter(Element.prototype, 'scrollHeight');
const clientHeight = getter(Element.prototype, 'clientHeight');
const scrollBy = method(Element.prototype, 'scrollBy');

// What scrolls: the document, or, where that is exactly one screen high, the largest box that scrolls by itself.
const scroller = () => {
  const page = scrollingElement(document) || documentElement(document);
  if (scrollHeight(page) > clientHeight(page) + 1) return page;
  let best = page;
  let most = 0;
  for (const element of allElements(documentElement(document))) {
    if (scrollHeight(element) <= clientHeight(element) + 1) continue;
    if (!/auto|scroll/.test(getComputedStyle(element).overflowY)) continue;
    const { width, height } = boundingRect(element);
    if (width * height > most) {
      best = element;
      most = width * height;
    }
  }
  return best;
};
