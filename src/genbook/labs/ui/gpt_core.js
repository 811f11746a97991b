"use strict";
/* The numerical core of the labs on GPT: byte pairs, the forward pass with its memory of keys and values, the rules
 * of sampling.
 *
 * No page: typed arrays only, so that it can be read from top to bottom and checked against Python
 * (tests/labs/test_gpt_lab.py compares every function with genbook.data.byte_pairs, genbook.models.gpt and
 * genbook.samplers.tokens). Only `unpack` uses the runtime. Weights are named and laid out as PyTorch has them; sums
 * are kept in double precision.
 */
const GptCore = (() => {
  // ---- byte pairs ------------------------------------------------------------------------------------------
  // GPT-2's words; \p{White_Space} is what Python calls a space, while \s is a little more and a little less
  const WORDS = /'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

  const words = (text) => text.match(WORDS) ?? [];

  /** A tokenizer: `bytes[i]` is the byte that token i < 256 stands for, merge k joins two tokens to token 256 + k. */
  function tokenizer({ bytes, merges }) {
    const size = 256 + merges.length, first = new Int32Array(256), rank = new Map(), known = new Map();
    const tokens = bytes.map((byte) => Uint8Array.of(byte));
    bytes.forEach((byte, id) => { first[byte] = id; });
    merges.forEach(([a, b], k) => {
      rank.set(a * size + b, k);
      tokens.push(Uint8Array.of(...tokens[a], ...tokens[b]));
    });
    const writer = new TextEncoder(), none = new Uint8Array(0); // a model may know a token that no text has

    /** The tokens of one word: of all pairs the one learnt first is joined, wherever it stands, and again. */
    function cut(word) {
      let symbols = Array.from(writer.encode(word), (byte) => first[byte]);
      while (symbols.length > 1) {
        let best = Infinity;
        for (let i = 1; i < symbols.length; i++) best = Math.min(best, rank.get(symbols[i - 1] * size + symbols[i]) ?? Infinity);
        if (best === Infinity) break;
        const [a, b] = merges[best], joined = [];
        for (const symbol of symbols) {
          if (joined.length && joined[joined.length - 1] === a && symbol === b) joined[joined.length - 1] = 256 + best;
          else joined.push(symbol);
        }
        symbols = joined;
      }
      return symbols;
    }

    /** The numbers of the tokens of a text. */
    function encode(text) {
      const ids = [];
      for (const word of words(text)) {
        if (!known.has(word)) known.set(word, cut(word));
        for (const id of known.get(word)) ids.push(id);
      }
      return ids;
    }

    /** What each of several tokens adds to their text: a character of several bytes comes with its last byte.
     *
     * Joined they are the text; what is no UTF-8 becomes U+FFFD, and so does a character that is not finished at
     * the end, unless it is left `open`.
     */
    function pieces(ids, open = false) {
      const reading = new TextDecoder("utf-8", { ignoreBOM: true });
      const found = Array.from(ids, (id) => reading.decode(tokens[id] ?? none, { stream: true }));
      if (!open && found.length) found[found.length - 1] += reading.decode();
      return found;
    }

    return { size, encode, pieces, decode: (ids) => pieces(ids).join(""), bytesOf: (id) => tokens[id] ?? none };
  }

  /** A token in words: its text with spaces and line ends made visible, or its bytes where they are no characters. */
  function label(coder, id) {
    const bytes = coder.bytesOf(id);
    if (!bytes.length) return "start";
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
    if (text.includes("\ufffd")) return Array.from(bytes, (byte) => `<${byte.toString(16).toUpperCase().padStart(2, "0")}>`).join("");
    const seen = Array.from(text, (one) => (one === " " ? "␣" : one === "\n" ? "↵" : one === "\t" ? "⇥" : one < " " ? "·" : one));
    const run = /^(␣{4,}|↵{4,})$/.test(seen.join("")) ? `${seen[0]}×${seen.length}` : null;
    return run ?? seen.join("");
  }

  // ---- weights ---------------------------------------------------------------------------------------------
  /** Return `{name: Float32Array}` of what genbook.cli.text_labs.packed wrote; a promise, for it is inflated.
   *
   * Matrices are whole numbers, row after row and one matrix after the other, each row with a scale of its own.
   */
  async function unpack({ matrices, whole, scales, vectors }) {
    const text = atob(whole), raw = new Uint8Array(text.length);
    for (let i = 0; i < raw.length; i++) raw[i] = text.charCodeAt(i);
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
    const numbers = new Int8Array(await new Response(stream).arrayBuffer());
    const found = {}, scale = GB.load({ it: scales }).it.data;
    let at = 0, row = 0;
    for (const [name, rows, columns] of matrices) {
      const values = (found[name] = new Float32Array(rows * columns));
      for (let r = 0, i = 0; r < rows; r++, row++) {
        for (let c = 0; c < columns; c++, i++, at++) values[i] = scale[row] * numbers[at];
      }
    }
    for (const [name, { data }] of Object.entries(GB.load(vectors))) found[name] = data;
    return found;
  }

  // ---- the forward pass ------------------------------------------------------------------------------------
  /** Write W x + b for `places` vectors x into `out`, or add it there; four products at a time share what they load. */
  function linear(x, places, weight, bias, outputs, inputs, out, added = false) {
    let t = 0;
    for (; t + 4 <= places; t += 4) {
      const p = t * inputs, q = p + inputs, r = q + inputs, s = r + inputs;
      for (let o = 0, at = 0, to = t * outputs; o < outputs; o++, to++) {
        const start = bias ? bias[o] : 0;
        let a = start, b = start, c = start, d = start;
        for (let i = 0; i < inputs; i++, at++) {
          const w = weight[at];
          a += w * x[p + i];
          b += w * x[q + i];
          c += w * x[r + i];
          d += w * x[s + i];
        }
        if (added) {
          out[to] += a;
          out[to + outputs] += b;
          out[to + 2 * outputs] += c;
          out[to + 3 * outputs] += d;
        } else {
          out[to] = a;
          out[to + outputs] = b;
          out[to + 2 * outputs] = c;
          out[to + 3 * outputs] = d;
        }
      }
    }
    for (; t < places; t++) {
      const from = t * inputs, to = t * outputs;
      let o = 0;
      for (; o + 4 <= outputs; o += 4) {
        const p = o * inputs, q = p + inputs, r = q + inputs, s = r + inputs;
        let a = 0, b = 0, c = 0, d = 0;
        for (let i = 0; i < inputs; i++) {
          const value = x[from + i];
          a += weight[p + i] * value;
          b += weight[q + i] * value;
          c += weight[r + i] * value;
          d += weight[s + i] * value;
        }
        out[to + o] = (added ? out[to + o] : 0) + (bias ? bias[o] : 0) + a;
        out[to + o + 1] = (added ? out[to + o + 1] : 0) + (bias ? bias[o + 1] : 0) + b;
        out[to + o + 2] = (added ? out[to + o + 2] : 0) + (bias ? bias[o + 2] : 0) + c;
        out[to + o + 3] = (added ? out[to + o + 3] : 0) + (bias ? bias[o + 3] : 0) + d;
      }
      for (; o < outputs; o++) {
        let sum = (added ? out[to + o] : 0) + (bias ? bias[o] : 0);
        for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * x[from + i];
        out[to + o] = sum;
      }
    }
  }

  /** Bring each of `places` vectors to mean 0 and variance 1, then scale and shift it. */
  function normalise(x, places, width, weight, bias, out) {
    for (let t = 0; t < places; t++) {
      const from = t * width;
      let mean = 0, variance = 0;
      for (let i = 0; i < width; i++) mean += x[from + i];
      mean /= width;
      for (let i = 0; i < width; i++) variance += (x[from + i] - mean) ** 2;
      const scale = 1 / Math.sqrt(variance / width + 1e-5);
      for (let i = 0; i < width; i++) out[from + i] = (x[from + i] - mean) * scale * weight[i] + bias[i];
    }
  }

  /** Exponentials of z that sum to 1, into `out`. */
  function softmax(z, out, length = z.length) {
    let greatest = -Infinity, sum = 0;
    for (let i = 0; i < length; i++) if (z[i] > greatest) greatest = z[i];
    for (let i = 0; i < length; i++) sum += out[i] = Math.exp(z[i] - greatest);
    for (let i = 0; i < length; i++) out[i] /= sum;
    return out;
  }

  /** log p(id) where the logits are z. */
  function logProb(z, id) {
    let greatest = -Infinity, sum = 0;
    for (let i = 0; i < z.length; i++) if (z[i] > greatest) greatest = z[i];
    for (let i = 0; i < z.length; i++) sum += Math.exp(z[i] - greatest);
    return z[id] - greatest - Math.log(sum);
  }

  /** A GPT that reads: `shape` names its sizes, `weights` are what `unpack` gave. With `maps` it keeps where each
   * place looks.
   *
   * Keys and values of the places read last stay in memory: a text that begins alike is computed from the first
   * token that differs.
   */
  function reader({ shape, weights, maps = false }) {
    const { vocabulary, context, width, layers, heads, hidden } = shape;
    const inside = width / heads, half = inside / 2, root = Math.sqrt(inside);
    const room = (size) => new Float64Array(context * size);
    const [x, normed, query, pair, gathered, inner] = [width, width, width, 2 * width, width, hidden].map(room);
    const blocks = Array.from({ length: layers }, (_, layer) => {
      const of = (name) => weights[`blocks.${layer}.${name}`];
      const both = (name) => [of(`${name}.weight`), of(`${name}.bias`)];
      return {
        firstNorm: both("first_norm"), secondNorm: both("second_norm"), query: both("attention.query"),
        keyValue: both("attention.key_value"), output: both("attention.output"), expand: both("expand"),
        contract: both("contract"), keys: room(width), values: room(width),
        map: maps ? new Float32Array(heads * context * context) : null,
      };
    });
    const [cosines, sines] = [room(half), room(half)];
    for (let t = 0; t < context; t++) {
      for (let i = 0; i < half; i++) {
        const angle = t / 10000 ** (i / half);
        cosines[t * half + i] = Math.cos(angle);
        sines[t * half + i] = Math.sin(angle);
      }
    }
    const held = new Int32Array(context), scores = new Float64Array(context);
    const last = new Float64Array(width), logits = new Float64Array(vocabulary);
    const off = new Uint8Array(layers * heads);
    let length = 0;

    /** Turn the numbers i and i + half of each head by the angle of a place; write them to `out`. */
    function turn(from, at, place, out, to) {
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < half; i++) {
          const j = head * inside + i, c = cosines[place * half + i], s = sines[place * half + i];
          const a = from[at + j], b = from[at + j + half];
          out[to + j] = a * c - b * s;
          out[to + j + half] = a * s + b * c;
        }
      }
    }

    function attend(layer, block, first, places) {
      const { keys, values, map } = block;
      for (let t = 0; t < places; t++) {
        const place = first + t;
        turn(query, t * width, place, query, t * width);
        turn(pair, 2 * t * width, place, keys, place * width);
        for (let i = 0; i < width; i++) values[place * width + i] = pair[(2 * t + 1) * width + i];
        for (let head = 0; head < heads; head++) {
          const from = t * width + head * inside;
          for (let s = 0; s <= place; s++) {
            const at = s * width + head * inside;
            let dot = 0;
            for (let i = 0; i < inside; i++) dot += query[from + i] * keys[at + i];
            scores[s] = dot / root;
          }
          softmax(scores, scores, place + 1);
          if (map) for (let s = 0; s <= place; s++) map[(head * context + place) * context + s] = scores[s];
          for (let i = 0; i < inside; i++) gathered[from + i] = 0;
          if (off[layer * heads + head]) continue;
          for (let s = 0; s <= place; s++) {
            const weight = scores[s], at = s * width + head * inside;
            for (let i = 0; i < inside; i++) gathered[from + i] += weight * values[at + i];
          }
        }
      }
    }

    /** The logits of what follows place t of the newest ones. */
    function follow(t) {
      for (let i = 0; i < width; i++) last[i] = x[t * width + i];
      normalise(last, 1, width, weights["norm.weight"], weights["norm.bias"], last);
      linear(last, 1, weights["tokens.weight"], null, vocabulary, width, logits);
      return logits;
    }

    /** Read tokens, at most a context of them, and return the logits of what follows the last: an array that the
     * next reading overwrites. `heard(place, logits)` hears of every place that was computed. */
    function read(tokens, heard = null) {
      if (tokens.length < 1 || tokens.length > context) throw new Error(`read: the context has ${context} places, got ${tokens.length} tokens`);
      let first = 0;
      while (first < length && first < tokens.length - 1 && held[first] === tokens[first]) first++;
      const places = tokens.length - first, table = weights["tokens.weight"];
      for (let t = 0; t < places; t++) {
        const id = (held[first + t] = tokens[first + t]);
        for (let i = 0; i < width; i++) x[t * width + i] = table[id * width + i];
      }
      length = tokens.length;
      for (let layer = 0; layer < layers; layer++) {
        const block = blocks[layer];
        normalise(x, places, width, ...block.firstNorm, normed);
        linear(normed, places, ...block.query, width, width, query);
        linear(normed, places, ...block.keyValue, 2 * width, width, pair);
        attend(layer, block, first, places);
        linear(gathered, places, ...block.output, width, width, x, true);
        normalise(x, places, width, ...block.secondNorm, normed);
        linear(normed, places, ...block.expand, hidden, width, inner);
        for (let i = 0; i < places * hidden; i++) {
          const v = inner[i]; // GELU, in the form with tanh
          inner[i] = 0.5 * v * (1 + Math.tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
        }
        linear(inner, places, ...block.contract, width, hidden, x, true);
      }
      if (heard) for (let t = 0; t < places - 1; t++) heard(first + t, follow(t));
      const found = follow(places - 1);
      if (heard) heard(tokens.length - 1, found);
      return found;
    }

    return {
      read, logits,
      /** Forget what was read, so that the next reading computes everything. */
      forget() { length = 0; },
      get length() { return length; },
      /** Switch heads off, whose outputs count as zero: `[[layer, head], …]`. */
      set off(pairs) {
        length = 0;
        off.fill(0);
        for (const [layer, head] of pairs) off[layer * heads + head] = 1;
      },
      /** How much a place looks at another. */
      weight: (layer, head, from, to) => blocks[layer].map[(head * context + from) * context + to],
    };
  }

  /** Where the window begins after `total` tokens, of which the first `prompt` were read at once: GPT.reader's way.
   *
   * Whenever the context is full, reading begins anew half a context back.
   */
  function begin(prompt, total, context) {
    const half = Math.max(Math.floor(context / 2), 1);
    let start = prompt > context ? prompt - half : 0;
    for (let n = prompt + 1; n <= total; n++) if (n - start > context) start = n - half;
    return start;
  }

  // ---- rules: each changes logits in place, and what it removes gets -Infinity ---------------------------------
  /** Divide what logits are below the largest; at 0 only the largest is left. */
  function temperature(z, value) {
    let greatest = -Infinity;
    for (let i = 0; i < z.length; i++) if (z[i] > greatest) greatest = z[i];
    for (let i = 0; i < z.length; i++) {
      const below = z[i] - greatest;
      z[i] = value ? below / value : below < 0 ? -Infinity : 0;
    }
  }

  const space = { sorted: new Float64Array(0), order: new Uint32Array(0), law: new Float64Array(0) };

  /** Room for z.length numbers, kept from call to call. */
  function scratch(z) {
    if (space.sorted.length !== z.length) {
      space.sorted = new Float64Array(z.length);
      space.law = new Float64Array(z.length);
      space.order = new Uint32Array(z.length);
    }
    return space;
  }

  /** Keep the k largest, and all that are equal to the last of these. */
  function topK(z, k) {
    if (k >= z.length) return;
    const { sorted } = scratch(z);
    sorted.set(z);
    sorted.sort();
    const least = sorted[z.length - k];
    for (let i = 0; i < z.length; i++) if (z[i] < least) z[i] = -Infinity;
  }

  /** Keep the fewest tokens, the most probable first, whose probabilities add up to p or more. */
  function nucleus(z, p) {
    if (p >= 1) return;
    const { order, law } = scratch(z);
    softmax(z, law);
    for (let i = 0; i < z.length; i++) order[i] = i;
    order.sort((i, j) => law[j] - law[i] || i - j);
    let sum = 0;
    for (let k = 0; k < z.length; k++) {
      if (k && sum >= p) z[order[k]] = -Infinity;
      sum += law[order[k]];
    }
  }

  /** Keep the tokens whose probability is at least p times the greatest. */
  function minP(z, p) {
    if (p <= 0) return;
    let greatest = -Infinity;
    for (let i = 0; i < z.length; i++) if (z[i] > greatest) greatest = z[i];
    const least = greatest + Math.log(p);
    for (let i = 0; i < z.length; i++) if (z[i] < least) z[i] = -Infinity;
  }

  /** The four rules in their order: temperature, top-k, nucleus, min-p. */
  function apply(z, rules) {
    temperature(z, rules.temperature);
    topK(z, rules.topK);
    nucleus(z, rules.nucleus);
    minP(z, rules.minP);
    return z;
  }

  /** The first number whose share of the probabilities, summed from the first one on, goes beyond u in [0, 1). */
  function draw(law, u) {
    let sum = 0, found = 0;
    for (let i = 0; i < law.length; i++) {
      if (law[i] > 0) found = i; // the last possible one, should rounding leave u beyond the sum
      sum += law[i];
      if (sum > u) return found;
    }
    return found;
  }

  /** The numbers of the `count` greatest values, the greatest first; of equal ones the smaller number. */
  function top(values, count) {
    const found = [];
    for (let i = 0; i < values.length; i++) {
      if (found.length === count && values[i] <= values[found[count - 1]]) continue;
      let at = found.length;
      while (at > 0 && values[found[at - 1]] < values[i]) at--;
      found.splice(at, 0, i);
      if (found.length > count) found.pop();
    }
    return found;
  }

  return {
    words, tokenizer, label, unpack, linear, normalise, softmax, logProb, reader, begin, temperature, topK, nucleus, minP,
    apply, draw, top,
  };
})();
