// The engine's face: functions that the host calls by name with plain data. An error becomes data too.

const operations = { ...reads, ...acts, ...forms };

return {
  // Serves one call. `request.token` names the action it belongs to; with `request.parsed` nothing is read before the
  // document is parsed: what is missing may only not be there yet.
  run: (name, request) => {
    if (request.parsed && readyState(document) === 'loading') return { loading: null };
    try {
      if (!Object.hasOwn(reads, name)) useSlot(request.token);
      return { value: operations[name](request) };
    } catch (error) {
      if (error instanceof SelectorError) return { invalid: error.message };
      if (error instanceof LimitError) return { limit: error.message };
      return { failed: String(error).slice(0, 500) };
    }
  },
  // Elements for the host to hold: the frame that an action goes through, and one that may hide a closed root.
  frame: (token) => (slots.has(token) ? slots.get(token).frame : null),
  candidate: (token, index) => (slots.has(token) ? slots.get(token).candidates[index] : null),
};
