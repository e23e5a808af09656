// Runs a plugin's function in the page's own world and carries its value out. Here the page may have overridden every
// built-in and every prototype, so nothing but syntax is relied on: operators, literals, own properties of strings,
// and spread into an object without a prototype, which copies own enumerable properties and calls no page function.
//
// The value leaves as plain objects: an array as { "#": length, "0": …, "1": … }, an object with each key after a "$".
// Rules of JSON.stringify: undefined becomes null (left out in an object), NaN and infinities become null, `toJSON`
// is asked. What JSON cannot say is an error: functions, symbols, big integers, DOM nodes, maps, sets, circles.
// `this` is `{ run, argument }`, made by the host in the same world.
async function (limit, deepest) {
  const fn = this.run;
  let left = limit;
  const charge = (amount) => {
    left -= amount;
    if (left < 0) throw { __proto__: null, buddy: 'limit' };
  };
  const refuse = (place, what) => {
    throw { __proto__: null, buddy: 'value', place, what };
  };
  const encode = (given, place, depth) => {
    let value = given;
    if (typeof value === 'object' && value !== null && typeof value.toJSON === 'function') value = value.toJSON();
    charge(8);
    if (value === undefined || value === null) return null;
    if (typeof value === 'string') {
      charge(value.length);
      return value;
    }
    if (typeof value === 'boolean') return value;
    if (typeof value === 'number') return value - value === 0 ? value : null;
    if (typeof value !== 'object') return refuse(place, 'a ' + typeof value);
    if (depth > deepest) return refuse(place, 'nested more than ' + deepest + ' levels deep (or contains itself)');
    const own = { __proto__: null, ...value };
    const out = { __proto__: null };
    // Arrays, typed arrays and lists of the DOM have a length that is not an own enumerable property.
    if (!('length' in own) && typeof value.length === 'number') {
      const length = value.length;
      out['#'] = length;
      for (let index = 0; index < length; index += 1) out[index] = encode(value[index], place + '/' + index, depth + 1);
      return out;
    }
    if (!('nodeType' in own) && typeof value.nodeType === 'number') return refuse(place, 'a DOM node');
    if (!('size' in own) && typeof value.size === 'number' && typeof value.has === 'function') return refuse(place, 'a Map or Set');
    if (!('then' in own) && typeof value.then === 'function') return refuse(place, 'a promise: await it');
    for (const key in own) {
      if (own[key] === undefined) continue;
      charge(key.length + 8);
      out['$' + key] = encode(own[key], place + '/' + key, depth + 1);
    }
    return out;
  };
  return { __proto__: null, value: encode(await fn(this.argument), '', 0) };
}
