// Roles and names as assistive technology sees them: the common part of ARIA's implicit roles and of its name rules,
// enough to find what a person would call "the button Save".

// What an element's tag says, by a CSS test; the first that matches counts.
const IMPLICIT_ROLES = [
  ['a[href], area[href]', 'link'],
  ['button, summary', 'button'],
  ['input[type="button" i], input[type="submit" i], input[type="reset" i], input[type="image" i]', 'button'],
  ['input[type="checkbox" i]', 'checkbox'],
  ['input[type="radio" i]', 'radio'],
  ['input[type="range" i]', 'slider'],
  ['input[type="number" i]', 'spinbutton'],
  ['input[type="search" i]:not([list])', 'searchbox'],
  ['input[list]', 'combobox'],
  ['input:not([type]), input[type="text" i], input[type="email" i], input[type="tel" i], input[type="url" i], input[type=""]', 'textbox'],
  ['textarea', 'textbox'],
  ['select[multiple], select[size]:not([size="1"], [size="0"])', 'listbox'],
  ['select', 'combobox'],
  ['option', 'option'],
  ['h1, h2, h3, h4, h5, h6', 'heading'],
  ['img[alt=""]', 'presentation'],
  ['img, svg', 'img'],
  ['ul, ol, menu', 'list'],
  ['li', 'listitem'],
  ['table', 'table'],
  ['thead, tbody, tfoot', 'rowgroup'],
  ['tr', 'row'],
  ['th[scope="row"]', 'rowheader'],
  ['th', 'columnheader'],
  ['td', 'cell'],
  ['nav', 'navigation'],
  ['main', 'main'],
  ['aside', 'complementary'],
  ['article', 'article'],
  ['form[aria-label], form[aria-labelledby], form[name]', 'form'],
  ['section[aria-label], section[aria-labelledby]', 'region'],
  ['header:not(article header, section header, main header)', 'banner'],
  ['footer:not(article footer, section footer, main footer)', 'contentinfo'],
  ['dialog', 'dialog'],
  ['p', 'paragraph'],
  ['figure', 'figure'],
  ['fieldset, details', 'group'],
  ['hr', 'separator'],
  ['progress', 'progressbar'],
  ['meter', 'meter'],
  ['output', 'status'],
  ['search', 'search'],
];

const roleOf = (element) => {
  const explicit = attribute(element, 'role');
  if (explicit && explicit.trim()) return explicit.trim().split(/\s+/)[0].toLowerCase();
  for (const [css, role] of IMPLICIT_ROLES) if (matches(element, css)) return role;
  return null;
};

// Whether assistive technology is told of the element.
const isExposed = (element) => {
  for (let node = element; node; node = composedParent(node)) {
    if (isElement(node) && attribute(node, 'aria-hidden') === 'true') return false;
  }
  return checkVisibility(element, { visibilityProperty: true });
};

// The elements that an attribute of ids refers to, within the same root.
const referredTo = (element, name) => {
  const ids = (attribute(element, name) || '').split(/\s+/).filter((id) => id !== '');
  return ids.flatMap((id) => Array.from(queryAll(rootNode(element), `[id="${CSS.escape(id)}"]`)).slice(0, 1));
};

// The labels of a form field: `<label for>` and a `<label>` around it.
const labelsOf = (element) => {
  const around = closest(element, 'label');
  const id = attribute(element, 'id');
  const pointing = id ? Array.from(queryAll(rootNode(element), `label[for="${CSS.escape(id)}"]`)) : [];
  return around && !pointing.includes(around) ? [...pointing, around] : pointing;
};

// The text of an element for a name: its words, and in place of pictures and named parts their names.
const nameFromContent = (element, depth) => {
  let words = '';
  for (let child = firstChild(element); child; child = nextSibling(child)) {
    if (nodeType(child) === 3) words += textContent(child);
    else if (isElement(child) && depth < 20 && attribute(child, 'aria-hidden') !== 'true' && !UNREAD.has(localName(child))) {
      if (!checkVisibility(child, { visibilityProperty: true })) continue;
      const own = attribute(child, 'aria-label') || (localName(child) === 'img' ? attribute(child, 'alt') : null);
      words += ` ${own || nameFromContent(child, depth + 1)} `;
    }
  }
  return words;
};

// Roles whose content is their name.
const NAMED_BY_CONTENT = new Set([
  'button', 'link', 'heading', 'option', 'cell', 'row', 'columnheader', 'rowheader', 'menuitem', 'menuitemcheckbox',
  'menuitemradio', 'tab', 'treeitem', 'checkbox', 'radio', 'switch', 'tooltip', 'listitem',
]);

const accessibleName = (element) => {
  const labelled = referredTo(element, 'aria-labelledby').map((one) => nameFromContent(one, 0)).join(' ');
  if (normalise(labelled)) return normalise(labelled);
  const label = attribute(element, 'aria-label');
  if (label && normalise(label)) return normalise(label);
  const tag = localName(element);
  if (tag === 'input' || tag === 'select' || tag === 'textarea') {
    const fromLabels = labelsOf(element).map((one) => nameFromContent(one, 0)).join(' ');
    if (normalise(fromLabels)) return normalise(fromLabels);
    if (tag === 'input' && ['submit', 'button', 'reset'].includes((attribute(element, 'type') || '').toLowerCase())) {
      return normalise(attribute(element, 'value') || '');
    }
  }
  const alternative = attribute(element, 'alt');
  if (alternative && normalise(alternative)) return normalise(alternative);
  if (NAMED_BY_CONTENT.has(roleOf(element))) {
    const content = normalise(nameFromContent(element, 0));
    if (content) return content;
  }
  const shadowed = { fieldset: 'legend', table: 'caption', figure: 'figcaption', svg: 'title' }[tag];
  const caption = shadowed && queryAll(element, shadowed)[0];
  if (caption) return normalise(textContent(caption) || '');
  return normalise(attribute(element, 'title') || attribute(element, 'placeholder') || '');
};
