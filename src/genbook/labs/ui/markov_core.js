/* The arithmetic of the lab "markov_models": counting, smoothing and drawing, as genbook.models.ngram does.
 *
 * A gram is a string: its context and one character. Contexts of each length, 0 to LONGEST, are counted when they are
 * first asked for; smoothing happens at each question. `START` stands before the text and is never predicted.
 */
var MarkovCore = (function core() {
  "use strict";

  const LONGEST = 8;
  const START = "\u0000";

  /** Add `times` to the count of `key`. */
  const add = (map, key, times = 1) => map.set(key, (map.get(key) || 0) + times);

  /** Sort out what follows each context: `{grams, seen}`, with `{total, kinds}` for each context in `seen`. */
  function byContext(grams) {
    const seen = new Map();
    const times = [0, 0, 0]; // how many grams were seen once, and twice
    for (const [gram, count] of grams) {
      const context = gram.slice(0, -1);
      let entry = seen.get(context);
      if (!entry) seen.set(context, (entry = { total: 0, kinds: 0 }));
      entry.total += count;
      entry.kinds += 1;
      if (count <= 2) times[count] += 1;
    }
    return { grams, seen, taken: times[1] ? times[1] / (times[1] + 2 * times[2]) : 0.5 };
  }

  /** Make each level when it is first asked for. */
  function once(made) {
    const kept = [];
    return (length) => kept[length] || (kept[length] = made(length));
  }

  /** Count a text: `{characters, plain, continuing}`; `characters`, if given, is a larger alphabet. */
  function count(text, characters = [...new Set(text)].sort()) {
    const padded = START.repeat(LONGEST) + text;
    const plain = once((length) => {
      const grams = new Map();
      for (let i = LONGEST; i < padded.length; i += 1) add(grams, padded.slice(i - length, i + 1));
      return byContext(grams);
    });
    const continuing = once((length) => { // in how many longer contexts each gram was seen
      const grams = new Map();
      for (const gram of plain(length + 1).grams.keys()) add(grams, gram.slice(1));
      return byContext(grams);
    });
    return { characters, plain, continuing, length: text.length };
  }

  /** What a rule takes from each count of a level, and what a context with `kinds` successors then gives away. */
  const RULES = {
    none: () => ({ taken: 0, escape: () => 0 }),
    "add-k": (level, { k, size }) => ({ taken: 0, escape: () => k * size }),
    "witten-bell": () => ({ taken: 0, escape: (kinds) => kinds }),
    "kneser-ney": (level) => ({ taken: level.taken, escape: (kinds) => level.taken * kinds }),
  };

  /** The levels that a rule asks for contexts up to `context`, from short to long. */
  function levelsOf(model, { rule, context }) {
    const lengths = rule === "none" || rule === "add-k" ? [context] : Array.from({ length: context + 1 }, (_, i) => i);
    return lengths.map((length) => ({ length, level: rule === "kneser-ney" && length < context ? model.continuing(length) : model.plain(length) }));
  }

  /** The last `length` characters before the next one. */
  const contextOf = (before, length) => (START.repeat(LONGEST) + before).slice(LONGEST + before.length - length);

  /** Return the chance of each of the model's characters after `before`, and the way there.
   *
   * `way` tells, from the shortest context asked to the longest, `{context, total, kinds, weight}`: how often it was
   * met, with how many successors, and the share of the answer that is its own. What is left, `uniform`, is
   * spread evenly. Without smoothing a context that was not met leaves no chance to anything.
   */
  function chances(model, before, options) {
    const size = model.characters.length;
    let found = new Float64Array(size).fill(1 / size);
    const way = [];
    for (const { length, level } of levelsOf(model, options)) {
      const context = contextOf(before, length);
      const entry = level.seen.get(context);
      const { taken, escape } = RULES[options.rule](level, { k: options.k, size });
      const given = escape(entry ? entry.kinds : 0);
      const seen = entry ? entry.total - taken * entry.kinds : 0;
      const sum = seen + given;
      const step = { context, total: entry ? entry.total : 0, kinds: entry ? entry.kinds : 0, own: sum > 0 ? seen / sum : 0 };
      way.push(step);
      if (options.rule === "none" && !entry) found = new Float64Array(size);
      else if (entry) {
        found = found.map((shorter, i) => {
          const times = level.grams.get(context + model.characters[i]);
          return ((times === undefined ? 0 : times - taken) + given * shorter) / sum;
        });
      }
    }
    let left = 1;
    for (const step of way.slice().reverse()) {
      step.weight = left * step.own;
      left -= step.weight;
    }
    if (options.rule === "none" && way[0].total === 0) left = 0;
    return { chances: found, way, uniform: left };
  }

  /** Return the chance of one character after `before`: that of `chances`, without the others. */
  function chanceOf(model, character, before, options) {
    const size = model.characters.length;
    let chance = 1 / size;
    for (const { length, level } of options.levels) {
      const context = contextOf(before, length);
      const entry = level.seen.get(context);
      if (!entry) {
        if (options.rule === "none") return 0;
        continue;
      }
      const { taken, escape } = RULES[options.rule](level, { k: options.k, size });
      const given = escape(entry.kinds);
      const times = level.grams.get(context + character);
      chance = ((times === undefined ? 0 : times - taken) + given * chance) / (entry.total - taken * entry.kinds + given);
    }
    return chance;
  }

  /** Score a text: `{nats, impossible}`, nats a character over those that are possible, and how many are not. */
  function score(model, text, options) {
    const known = { ...options, levels: levelsOf(model, options) };
    let sum = 0, impossible = 0;
    for (let i = 0; i < text.length; i += 1) {
      const chance = chanceOf(model, text[i], text.slice(Math.max(0, i - LONGEST), i), known);
      if (chance > 0) sum -= Math.log(chance);
      else impossible += 1;
    }
    return { nats: sum / Math.max(1, text.length - impossible), impossible, length: text.length };
  }

  /** Draw a place by its chance, with a number in [0, 1); -1 where nothing has a chance. */
  function draw(chances, uniform) {
    let sum = 0, last = -1;
    for (let i = 0; i < chances.length; i += 1) {
      if (chances[i] > 0) last = i;
      sum += chances[i];
      if (uniform < sum) return i;
    }
    return last;
  }

  return { LONGEST, START, count, chances, chanceOf, score, draw, levelsOf };
})();
