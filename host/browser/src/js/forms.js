// Form fields: focus, select, set, read back. Functions answer like those of `act.js` and mean the element it keeps.

const setInputValue = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
const inputType = getter(HTMLInputElement.prototype, 'type');
const selectInput = method(HTMLInputElement.prototype, 'select');
const selectArea = method(HTMLTextAreaElement.prototype, 'select');
const optionsOf = getter(HTMLSelectElement.prototype, 'options');
const isMultiple = getter(HTMLSelectElement.prototype, 'multiple');
const optionValue = getter(HTMLOptionElement.prototype, 'value');
const optionLabel = getter(HTMLOptionElement.prototype, 'label');
const optionSelected = getter(HTMLOptionElement.prototype, 'selected');
const selectOption = Object.getOwnPropertyDescriptor(HTMLOptionElement.prototype, 'selected').set;

// Types whose value no keyboard enters as text: it is set, as their pickers do.
const PICKED = new Set(['date', 'time', 'datetime-local', 'month', 'week', 'color', 'range']);
const OTHER_CALL = { checkbox: 'set-checked', radio: 'set-checked', file: 'upload', submit: 'click', button: 'click', reset: 'click', image: 'click' };

const announce = (element) => {
  dispatch(element, new Event('input', { bubbles: true, composed: true }));
  dispatch(element, new Event('change', { bubbles: true }));
};

// The element kept by the last look, or null when it has left the document.
const kept = () => (memory.element && isConnected(memory.element) ? memory.element : null);
const REPLACED = { waiting: 'it was replaced' };

const isTextField = (element) => element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement;
const isEditor = (element) => isHtml(element) && isContentEditable(element);

// Gives the kept element the focus; an editor may hand it to a part of itself.
const focused = (element) => {
  if (!composedContains(element, deepActiveElement())) focusElement(element, { preventScroll: true });
  return composedContains(element, deepActiveElement());
};

// An editor's newlines come back as blocks and line breaks: compared with white space normalised.
const holds = (element, value) => {
  if (isTextField(element)) return valueOf(element) === value.replace(/\r\n?/g, '\n');
  return normalise(innerTextOf(element)) === normalise(value);
};

const forms = {
  // Makes the field ready to be typed over: focus, everything selected. `set` in the answer: nothing to type, done.
  startFill: ({ value }) => {
    const element = kept();
    if (!element) return REPLACED;
    if (element instanceof HTMLSelectElement) return { error: 'it is a <select>: use select-option' };
    if (element instanceof HTMLInputElement) {
      const type = inputType(element);
      if (OTHER_CALL[type]) return { error: `it is an <input type="${type}">: use ${OTHER_CALL[type]}` };
      if (PICKED.has(type)) {
        Reflect.apply(setInputValue, element, [value]);
        if (inputValue(element) !== value) return { error: `an <input type="${type}"> does not take such a value` };
        announce(element);
        return { ok: true, set: true };
      }
    } else if (!isTextField(element) && !isEditor(element)) {
      return { error: `${describe(element)} is neither a form field nor editable` };
    }
    if (!focused(element)) return { waiting: `${describe(element)} does not take the focus` };
    if (element instanceof HTMLInputElement) selectInput(element);
    else if (element instanceof HTMLTextAreaElement) selectArea(element);
    else getSelection().selectAllChildren(element);
    const empty = isTextField(element) ? valueOf(element) === '' : normalise(innerTextOf(element)) === '';
    return { ok: true, set: false, empty, editor: !isTextField(element) };
  },

  // Whether the field holds the value. Its text is never told: it may be a secret.
  holds: ({ value }) => {
    const element = kept();
    if (!element) return { replaced: true };
    if (holds(element, value)) return { ok: true };
    return { length: isTextField(element) ? valueOf(element).length : normalise(innerTextOf(element)).length };
  },

  // Puts the caret behind what is there, and cuts the text into the units that a person types.
  startTyping: ({ value }) => {
    const element = kept();
    if (!element) return REPLACED;
    if (!focused(element)) return { waiting: `${describe(element)} does not take the focus` };
    const units = Array.from(new Intl.Segmenter().segment(value), (one) => one.segment);
    if (isTextField(element)) {
      try {
        const end = valueOf(element).length;
        const proto = element instanceof HTMLInputElement ? HTMLInputElement.prototype : HTMLTextAreaElement.prototype;
        Reflect.apply(proto.setSelectionRange, element, [end, end]);
      } catch {
        // Types without a selection, such as email and number: the End key does it.
        return { ok: true, units, end: true };
      }
    } else if (isEditor(element)) {
      getSelection().selectAllChildren(element);
      getSelection().collapseToEnd();
    }
    return { ok: true, units, end: false };
  },

  focus: () => {
    const element = kept();
    if (!element) return REPLACED;
    return focused(element) ? { ok: true } : { waiting: `${describe(element)} does not take the focus` };
  },

  // Selects the options with these values, or else these labels; waits for those that are not there yet.
  select: ({ values }) => {
    const element = kept();
    if (!element) return REPLACED;
    if (!(element instanceof HTMLSelectElement)) return { error: `${describe(element)} is not a <select>` };
    if (values.length > 1 && !isMultiple(element)) return { error: 'it takes one value only' };
    const options = Array.from(optionsOf(element));
    const chosen = [];
    for (const value of values) {
      const option =
        options.find((one) => optionValue(one) === value) || options.find((one) => normalise(optionLabel(one)) === normalise(value));
      if (!option) return { waiting: `it has no option "${value.slice(0, 60)}"` };
      if (matches(option, ':disabled')) return { waiting: `its option "${value.slice(0, 60)}" is disabled` };
      chosen.push(option);
    }
    for (const option of options) {
      const wanted = chosen.includes(option);
      if (optionSelected(option) !== wanted) Reflect.apply(selectOption, option, [wanted]);
    }
    announce(element);
    return { ok: true, selected: options.filter((one) => optionSelected(one)).map((one) => optionValue(one)) };
  },

  // Whether a checkbox, radio button or switch is on.
  checked: () => {
    const element = kept();
    if (!element) return REPLACED;
    if (element instanceof HTMLInputElement && ['checkbox', 'radio'].includes(inputType(element))) {
      return { ok: true, checked: inputChecked(element), radio: inputType(element) === 'radio' };
    }
    const state = attribute(element, 'aria-checked');
    if (state === null) return { error: `${describe(element)} is not a checkbox, radio button or switch` };
    return { ok: true, checked: state === 'true', radio: roleOf(element) === 'radio' };
  },
};
