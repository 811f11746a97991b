/* The micro-runtime of the live labs: the forward pass of small PyTorch networks, in plain JavaScript.
 *
 * Everything hangs on one global, `GB`. A tensor is `{data: Float32Array, shape: [n, …]}` in PyTorch's order:
 * pictures are (n, channels, height, width), sequences (n, time, features), weights as PyTorch keeps them. Each
 * operation returns a new tensor and leaves its arguments alone. Sums are kept in double precision and stored in
 * single, so that results lie within 1e-5 of PyTorch's (tests/labs/test_runtime.py holds every one to that).
 *
 * Weights arrive as genbook.labs.pages.pack writes them: `{name: {type, shape, data, scale}}`, where `data` is
 * base64 of little-endian float32, float16 or int8, and an int8 row r stands for scale[r] · value.
 *
 * Random numbers: xoshiro128** (Blackman and Vigna 2018, arXiv:1805.01407), its four words drawn by splitmix32
 * from the seed. uniform() takes 27 and 26 bits of two words: (a · 2^26 + b) / 2^53. normal() is Box and Muller's
 * pair, cosine first.
 */
"use strict";

var GB = (function runtime() {
  const { imul, exp, log, sqrt, tanh: hyperbolicTangent } = Math;

  // ---- tensors ---------------------------------------------------------------------------------------------
  const size = (shape) => shape.reduce((product, length) => product * length, 1);
  const written = (shape) => `(${shape.join(", ")})`;

  function need(condition, message) {
    if (!condition) throw new Error(message);
  }

  /** Return a tensor of `shape` around `data` (a Float32Array, an array of numbers, or nothing: zeros). */
  function tensor(shape, data) {
    const values =
      data === undefined ? new Float32Array(size(shape)) : data instanceof Float32Array ? data : Float32Array.from(data);
    need(values.length === size(shape), `tensor: shape ${written(shape)} needs ${size(shape)} values, got ${values.length}`);
    return { data: values, shape: Array.from(shape) };
  }

  /** Return the same values under another shape, in which one length may be -1. */
  function reshape(x, shape) {
    const known = -size(shape);
    return tensor(shape.includes(-1) ? shape.map((length) => (length === -1 ? x.data.length / known : length)) : shape, x.data);
  }

  function matches(operation, name, x, shape) {
    need(
      x.shape.length === shape.length && shape.every((length, axis) => length === x.shape[axis]),
      `${operation}: ${name} must have shape ${written(shape)}, got ${written(x.shape)}`,
    );
  }

  function picture(operation, x) {
    need(x.shape.length === 4, `${operation}: x must be (n, channels, height, width), got ${written(x.shape)}`);
    return x.shape;
  }

  const pair = (value) => (Array.isArray(value) ? value : [value, value]);

  // ---- weights ---------------------------------------------------------------------------------------------
  let halves = null;

  /** Return the table of all 65,536 half-precision numbers. */
  function halfTable() {
    if (halves) return halves;
    halves = new Float32Array(65536);
    for (let code = 0; code < 65536; code++) {
      const sign = code & 0x8000 ? -1 : 1;
      const exponent = (code >> 10) & 31;
      const fraction = code & 1023;
      if (exponent === 31) halves[code] = fraction ? NaN : sign * Infinity;
      else if (exponent === 0) halves[code] = sign * fraction * 2 ** -24;
      else halves[code] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
    }
    return halves;
  }

  function bytes(text) {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out.buffer;
  }

  function decode(name, entry) {
    const values = new Float32Array(size(entry.shape));
    const raw = new DataView(bytes(entry.data));
    const width = { float32: 4, float16: 2, int8: 1 }[entry.type];
    need(width, `load: ${name} has the type ${entry.type}; known are float32, float16 and int8`);
    need(raw.byteLength === width * values.length, `load: ${name} has ${raw.byteLength} bytes, expected ${width * values.length}`);
    if (width === 4) for (let i = 0; i < values.length; i++) values[i] = raw.getFloat32(4 * i, true);
    if (width === 2) {
      const table = halfTable();
      for (let i = 0; i < values.length; i++) values[i] = table[raw.getUint16(2 * i, true)];
    }
    if (width === 1) {
      const row = values.length / entry.scale.length;
      for (let i = 0; i < values.length; i++) values[i] = raw.getInt8(i) * entry.scale[Math.floor(i / row)];
    }
    return { data: values, shape: entry.shape.slice() };
  }

  /** Return `{name: tensor}` of packed weights: an object, or its JSON as text. */
  function load(weights) {
    const entries = typeof weights === "string" ? JSON.parse(weights) : weights;
    const out = {};
    for (const name of Object.keys(entries)) out[name] = decode(name, entries[name]);
    return out;
  }

  // ---- random numbers --------------------------------------------------------------------------------------
  /** Return a source of random numbers that depends on the seed alone, a whole number from 0 to 2^32 - 1. */
  function random(seed) {
    need(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, `random: seed must be a whole number below 2^32, got ${seed}`);
    let state = seed | 0;
    function split() {
      state = (state + 0x9e3779b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = imul(mixed, 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    }
    let [a, b, c, d] = [split(), split(), split(), split()];
    let spare = null;
    const turn = (value, by) => (value << by) | (value >>> (32 - by));
    function word() {
      const out = imul(turn(imul(b, 5), 7), 9);
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = turn(d, 11);
      return out >>> 0;
    }
    const source = {
      /** A number in [0, 1). */
      uniform: () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992,
      /** A standard normal number. */
      normal() {
        if (spare !== null) {
          const kept = spare;
          spare = null;
          return kept;
        }
        const radius = sqrt(-2 * log(1 - source.uniform()));
        const angle = 2 * Math.PI * source.uniform();
        spare = radius * Math.sin(angle);
        return radius * Math.cos(angle);
      },
      /** A whole number from 0 to n - 1. */
      integer: (n) => Math.floor(source.uniform() * n),
      /** A tensor of standard normal numbers. */
      normals(shape) {
        const out = tensor(shape);
        for (let i = 0; i < out.data.length; i++) out.data[i] = source.normal();
        return out;
      },
    };
    return source;
  }

  // ---- products --------------------------------------------------------------------------------------------
  /** Write a · bᵀ (+ a bias for each row or column) into `out`: a is (m, k), b is (n, k), out is (m, n). */
  function product(a, b, out, m, n, k, rowBias, columnBias, at = 0) {
    const wholeRows = m - (m % 4);
    const wholeColumns = n - (n % 2);
    for (let i = 0; i < wholeRows; i += 4) {
      const a0 = i * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k;
      for (let j = 0; j < wholeColumns; j += 2) {
        const b0 = j * k, b1 = b0 + k;
        let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
        for (let l = 0; l < k; l++) {
          const u = b[b0 + l], v = b[b1 + l];
          const p = a[a0 + l], q = a[a1 + l], r = a[a2 + l], s = a[a3 + l];
          s00 += p * u; s01 += p * v;
          s10 += q * u; s11 += q * v;
          s20 += r * u; s21 += r * v;
          s30 += s * u; s31 += s * v;
        }
        let o = at + i * n + j;
        out[o] = s00; out[o + 1] = s01; o += n;
        out[o] = s10; out[o + 1] = s11; o += n;
        out[o] = s20; out[o + 1] = s21; o += n;
        out[o] = s30; out[o + 1] = s31;
      }
    }
    const single = (i, j) => {
      const left = i * k, right = j * k;
      let sum = 0;
      for (let l = 0; l < k; l++) sum += a[left + l] * b[right + l];
      out[at + i * n + j] = sum;
    };
    for (let i = 0; i < wholeRows; i++) for (let j = wholeColumns; j < n; j++) single(i, j);
    for (let i = wholeRows; i < m; i++) for (let j = 0; j < n; j++) single(i, j);
    if (rowBias) for (let i = 0, o = at; i < m; i++) for (let j = 0; j < n; j++, o++) out[o] += rowBias[i];
    if (columnBias) for (let i = 0, o = at; i < m; i++) for (let j = 0; j < n; j++, o++) out[o] += columnBias[j];
  }

  function transposed(values, rows, columns, at = 0) {
    const out = new Float32Array(rows * columns);
    for (let i = 0, o = at; i < rows; i++) for (let j = 0; j < columns; j++, o++) out[j * rows + i] = values[o];
    return out;
  }

  /** Return the product of two matrices; `{a: true}` or `{b: true}` takes that one transposed. */
  function matmul(a, b, turned = {}) {
    need(a.shape.length === 2 && b.shape.length === 2, `matmul: got ${written(a.shape)} and ${written(b.shape)}, expected two matrices`);
    const [m, k] = turned.a ? [a.shape[1], a.shape[0]] : a.shape;
    const [inner, n] = turned.b ? [b.shape[1], b.shape[0]] : b.shape;
    need(k === inner, `matmul: (${m}, ${k}) and (${inner}, ${n}) do not fit`);
    const left = turned.a ? transposed(a.data, k, m) : a.data;
    const right = turned.b ? b.data : transposed(b.data, k, n);
    const out = tensor([m, n]);
    product(left, right, out.data, m, n, k);
    return out;
  }

  /** x · wᵀ + b over the last axis: x (…, inputs), w (outputs, inputs), b (outputs) or null. */
  function linear(x, w, b) {
    const [outputs, inputs] = w.shape;
    const last = x.shape[x.shape.length - 1];
    need(last === inputs, `linear: x must end in ${inputs} features, got ${written(x.shape)}`);
    const rows = x.data.length / inputs;
    const out = tensor([...x.shape.slice(0, -1), outputs]);
    product(x.data, w.data, out.data, rows, outputs, inputs, null, b && b.data);
    return out;
  }

  // ---- convolutions ----------------------------------------------------------------------------------------
  /** Return, for each place of the kernel in picture i, the values under it: (places, channels · kh · kw). */
  function patches(x, i, kernel, stride, padding, places) {
    const [, channels, height, width] = x.shape;
    const [kh, kw] = kernel, [sh, sw] = stride, [ph, pw] = padding, [oh, ow] = places;
    const out = new Float32Array(oh * ow * channels * kh * kw);
    const first = i * channels * height * width;
    let o = 0;
    for (let y = 0; y < oh; y++) {
      for (let z = 0; z < ow; z++) {
        const top = y * sh - ph, left = z * sw - pw;
        const inside = top >= 0 && left >= 0 && top + kh <= height && left + kw <= width;
        for (let channel = 0; channel < channels; channel++) {
          const plane = first + channel * height * width;
          for (let u = 0; u < kh; u++) {
            let from = plane + (top + u) * width + left;
            if (inside) for (let v = 0; v < kw; v++) out[o++] = x.data[from++];
            else {
              const row = top + u >= 0 && top + u < height;
              for (let v = 0; v < kw; v++, o++, from++) if (row && left + v >= 0 && left + v < width) out[o] = x.data[from];
            }
          }
        }
      }
    }
    return out;
  }

  /** torch's conv2d: w (outputs, inputs, kh, kw), zeros around; stride and padding are a number or a pair. */
  function conv2d(x, w, b, options = {}) {
    const [n, channels, height, width] = picture("conv2d", x);
    const [outputs, inputs, kh, kw] = w.shape;
    need(channels === inputs, `conv2d: x must have ${inputs} channels, got ${written(x.shape)}`);
    const stride = pair(options.stride ?? 1), padding = pair(options.padding ?? 0);
    const oh = Math.floor((height + 2 * padding[0] - kh) / stride[0]) + 1;
    const ow = Math.floor((width + 2 * padding[1] - kw) / stride[1]) + 1;
    need(oh > 0 && ow > 0, `conv2d: a kernel of ${kh} by ${kw} is larger than ${written(x.shape)} with its padding`);
    const out = tensor([n, outputs, oh, ow]);
    for (let i = 0; i < n; i++) {
      const under = patches(x, i, [kh, kw], stride, padding, [oh, ow]);
      product(w.data, under, out.data, outputs, oh * ow, inputs * kh * kw, b && b.data, null, i * outputs * oh * ow);
    }
    return out;
  }

  const turnedWeights = new WeakMap();

  /** torch's conv_transpose2d: w (inputs, outputs, kh, kw); also takes `outputPadding`. */
  function convTranspose2d(x, w, b, options = {}) {
    const [n, channels, height, width] = picture("convTranspose2d", x);
    const [inputs, outputs, kh, kw] = w.shape;
    need(channels === inputs, `convTranspose2d: x must have ${inputs} channels, got ${written(x.shape)}`);
    const [sh, sw] = pair(options.stride ?? 1), [ph, pw] = pair(options.padding ?? 0);
    const [eh, ew] = pair(options.outputPadding ?? 0);
    const oh = (height - 1) * sh - 2 * ph + kh + eh, ow = (width - 1) * sw - 2 * pw + kw + ew;
    const places = height * width, rows = outputs * kh * kw;
    if (!turnedWeights.has(w)) turnedWeights.set(w, transposed(w.data, inputs, rows));
    const spread = new Float32Array(rows * places);
    const out = tensor([n, outputs, oh, ow]);
    for (let i = 0; i < n; i++) {
      const seen = transposed(x.data, inputs, places, i * inputs * places);
      product(turnedWeights.get(w), seen, spread, rows, places, inputs);
      for (let o = 0, s = 0; o < outputs; o++) {
        const plane = (i * outputs + o) * oh * ow;
        if (b) out.data.fill(b.data[o], plane, plane + oh * ow);
        for (let u = 0; u < kh; u++) {
          for (let v = 0; v < kw; v++) {
            for (let y = 0; y < height; y++) {
              const row = y * sh - ph + u;
              if (row < 0 || row >= oh) {
                s += width;
                continue;
              }
              for (let z = 0, column = v - pw; z < width; z++, s++, column += sw) {
                if (column >= 0 && column < ow) out.data[plane + row * ow + column] += spread[s];
              }
            }
          }
        }
      }
    }
    return out;
  }

  /** Repeat each pixel s times in both directions. */
  function upsampleNearest(x, s) {
    const [n, channels, height, width] = picture("upsampleNearest", x);
    const out = tensor([n, channels, height * s, width * s]);
    for (let plane = 0, o = 0; plane < n * channels; plane++) {
      for (let y = 0; y < height * s; y++) {
        const row = (plane * height + Math.floor(y / s)) * width;
        for (let z = 0; z < width * s; z++) out.data[o++] = x.data[row + Math.floor(z / s)];
      }
    }
    return out;
  }

  function pool(operation, x, kernel, options, greatest) {
    const [n, channels, height, width] = picture(operation, x);
    const [kh, kw] = pair(kernel), [sh, sw] = pair(options.stride ?? kernel), [ph, pw] = pair(options.padding ?? 0);
    const oh = Math.floor((height + 2 * ph - kh) / sh) + 1, ow = Math.floor((width + 2 * pw - kw) / sw) + 1;
    const out = tensor([n, channels, oh, ow]);
    for (let plane = 0, o = 0; plane < n * channels; plane++) {
      for (let y = 0; y < oh; y++) {
        for (let z = 0; z < ow; z++, o++) {
          let sum = greatest ? -Infinity : 0;
          for (let row = Math.max(0, y * sh - ph); row < Math.min(height, y * sh - ph + kh); row++) {
            for (let column = Math.max(0, z * sw - pw); column < Math.min(width, z * sw - pw + kw); column++) {
              const value = x.data[(plane * height + row) * width + column];
              sum = greatest ? Math.max(sum, value) : sum + value;
            }
          }
          out.data[o] = greatest ? sum : sum / (kh * kw);
        }
      }
    }
    return out;
  }

  /** The mean under each place of a window, with the zeros around counted, as torch does. */
  const avgPool2d = (x, kernel, options = {}) => pool("avgPool2d", x, kernel, options, false);
  /** The largest value under each place of a window. */
  const maxPool2d = (x, kernel, options = {}) => pool("maxPool2d", x, kernel, options, true);

  function shuffle(x, n, channels, height, width, s, back) {
    const out = tensor(back ? [n, channels * s * s, height, width] : [n, channels, height * s, width * s]);
    for (let i = 0, o = 0; i < n * channels; i++) {
      for (let u = 0; u < s; u++) {
        for (let v = 0; v < s; v++) {
          for (let y = 0; y < height; y++) {
            for (let z = 0; z < width; z++, o++) {
              const pixel = (i * height * s + y * s + u) * width * s + z * s + v;
              if (back) out.data[o] = x.data[pixel];
              else out.data[pixel] = x.data[o];
            }
          }
        }
      }
    }
    return out;
  }

  /** (n, channels · s², h, w) to (n, channels, h · s, w · s). */
  function pixelShuffle(x, s) {
    const [n, channels, height, width] = picture("pixelShuffle", x);
    need(channels % (s * s) === 0, `pixelShuffle: channels must be a multiple of ${s * s}, got ${written(x.shape)}`);
    return shuffle(x, n, channels / (s * s), height, width, s, false);
  }

  /** The way back: (n, channels, h · s, w · s) to (n, channels · s², h, w). */
  function pixelUnshuffle(x, s) {
    const [n, channels, height, width] = picture("pixelUnshuffle", x);
    need(height % s === 0 && width % s === 0, `pixelUnshuffle: the sides must be multiples of ${s}, got ${written(x.shape)}`);
    return shuffle(x, n, channels, height / s, width / s, s, true);
  }

  // ---- normalisation ---------------------------------------------------------------------------------------
  /** Bring each run of `length` values to mean 0 and variance 1. */
  function standardised(x, length, eps) {
    const out = tensor(x.shape);
    for (let start = 0; start < x.data.length; start += length) {
      let mean = 0, variance = 0;
      for (let i = start; i < start + length; i++) mean += x.data[i];
      mean /= length;
      for (let i = start; i < start + length; i++) variance += (x.data[i] - mean) ** 2;
      const scale = 1 / sqrt(variance / length + eps);
      for (let i = start; i < start + length; i++) out.data[i] = (x.data[i] - mean) * scale;
    }
    return out;
  }

  /** torch's layer_norm over the axes of `w` (without weights: over the last). */
  function layerNorm(x, w, b, eps = 1e-5) {
    const length = w ? w.data.length : x.shape[x.shape.length - 1];
    const out = standardised(x, length, eps);
    if (w) for (let i = 0; i < out.data.length; i++) out.data[i] = out.data[i] * w.data[i % length] + (b ? b.data[i % length] : 0);
    return out;
  }

  /** Multiply each channel, axis 1, and add to it; in place. */
  function perChannel(x, scale, shift) {
    const channels = x.shape[1];
    const inner = x.data.length / (x.shape[0] * channels) || 1;
    for (let i = 0, o = 0; i < x.shape[0]; i++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let j = 0; j < inner; j++, o++) x.data[o] = x.data[o] * scale[channel] + shift[channel];
      }
    }
    return x;
  }

  /** torch's group_norm: x (n, channels, …); w and b (channels) or null. */
  function groupNorm(x, groups, w, b, eps = 1e-5) {
    const channels = x.shape[1];
    need(channels % groups === 0, `groupNorm: ${channels} channels do not make ${groups} groups`);
    const out = standardised(x, x.data.length / (x.shape[0] * groups), eps);
    return w ? perChannel(out, w.data, b ? b.data : new Float32Array(channels)) : out;
  }

  /** torch's batch_norm in `eval()`: with the stored mean and variance of each channel, axis 1. */
  function batchNorm(x, mean, variance, w, b, eps = 1e-5) {
    matches("batchNorm", "mean", mean, [x.shape[1]]);
    const scale = Float64Array.from(variance.data, (value, i) => (w ? w.data[i] : 1) / sqrt(value + eps));
    const shift = scale.map((value, i) => (b ? b.data[i] : 0) - mean.data[i] * value);
    return perChannel(tensor(x.shape, x.data.slice()), scale, shift);
  }

  // ---- element by element ----------------------------------------------------------------------------------
  const each = (f) => (x) => {
    const out = tensor(x.shape);
    for (let i = 0; i < out.data.length; i++) out.data[i] = f(x.data[i]);
    return out;
  };

  /** The complementary error function to 1.2e-7 of its value (Press et al., Numerical Recipes, erfcc). */
  function erfc(x) {
    const z = Math.abs(x), t = 1 / (1 + 0.5 * z);
    const p = t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))));
    const value = t * exp(-z * z - 1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + p))));
    return x >= 0 ? value : 2 - value;
  }

  const logistic = (v) => 1 / (1 + exp(-v));
  const relu = each((v) => (v > 0 ? v : 0));
  const tanh = each(hyperbolicTangent);
  const sigmoid = each(logistic);
  const silu = each((v) => v * logistic(v));
  const softplus = each((v) => (v > 20 ? v : Math.log1p(exp(v))));
  const exactGelu = each((v) => 0.5 * v * erfc(-v * Math.SQRT1_2));
  const tanhGelu = each((v) => 0.5 * v * (1 + hyperbolicTangent(0.7978845608028654 * (v + 0.044715 * v * v * v))));
  /** torch's GELU: exact, or with `{approximate: "tanh"}` Hendrycks and Gimpel's. */
  const gelu = (x, options = {}) => (options.approximate === "tanh" ? tanhGelu(x) : exactGelu(x));

  function leakyRelu(x, slope = 0.01) {
    const out = tensor(x.shape);
    for (let i = 0; i < out.data.length; i++) out.data[i] = x.data[i] > 0 ? x.data[i] : slope * x.data[i];
    return out;
  }

  function add(x, y) {
    matches("add", "y", y, x.shape);
    const out = tensor(x.shape, x.data.slice());
    for (let i = 0; i < out.data.length; i++) out.data[i] += y.data[i];
    return out;
  }

  /** Add `b`, of the shape of one example, to every example. */
  function addMap(x, b) {
    matches("addMap", "b", b, x.shape.slice(1));
    const out = tensor(x.shape, x.data.slice()), length = b.data.length;
    for (let i = 0; i < out.data.length; i++) out.data[i] += b.data[i % length];
    return out;
  }

  function softmaxInPlace(values, start, length) {
    let greatest = -Infinity, sum = 0;
    for (let i = start; i < start + length; i++) if (values[i] > greatest) greatest = values[i];
    for (let i = start; i < start + length; i++) sum += values[i] = exp(values[i] - greatest);
    for (let i = start; i < start + length; i++) values[i] /= sum;
  }

  /** Over the last axis. */
  function softmax(x) {
    const out = tensor(x.shape, x.data.slice()), length = x.shape[x.shape.length - 1];
    for (let start = 0; start < out.data.length; start += length) softmaxInPlace(out.data, start, length);
    return out;
  }

  // ---- sequences -------------------------------------------------------------------------------------------
  /** The rows of `table` that `ids` name: an array of whole numbers, or a tensor of them. */
  function embedding(ids, table) {
    const numbers = ids.data ?? ids, shape = ids.shape ?? [ids.length];
    const [entries, width] = table.shape;
    const out = tensor([...shape, width]);
    for (let i = 0; i < numbers.length; i++) {
      need(numbers[i] >= 0 && numbers[i] < entries, `embedding: ids must lie from 0 to ${entries - 1}, got ${numbers[i]}`);
      out.data.set(table.data.subarray(numbers[i] * width, (numbers[i] + 1) * width), i * width);
    }
    return out;
  }

  /** Return an empty memory of keys and values for `attention`. */
  const cache = () => ({ length: 0, room: 0, keys: null, values: null });

  function remember(memory, k, v) {
    const [n, time, features] = k.shape, width = v.shape[2], length = memory.length + time;
    if (length > memory.room) {
      const room = Math.max(length, 2 * memory.room, 16);
      const grown = (old, each) => {
        const out = new Float32Array(n * room * each);
        for (let i = 0; old && i < n; i++) {
          out.set(old.subarray(i * memory.room * each, (i * memory.room + memory.length) * each), i * room * each);
        }
        return out;
      };
      memory.keys = grown(memory.keys, features);
      memory.values = grown(memory.values, width);
      memory.room = room;
    }
    for (let i = 0; i < n; i++) {
      const at = i * memory.room + memory.length;
      memory.keys.set(k.data.subarray(i * time * features, (i + 1) * time * features), at * features);
      memory.values.set(v.data.subarray(i * time * width, (i + 1) * time * width), at * width);
    }
    memory.length = length;
  }

  /** softmax(q · kᵀ / √d) · v for each head: q (n, time, features), k and v alike with a time of their own.
   *
   * The features are the heads side by side. `causal`: the last query sees every key, the one before it one less,
   * and so on. With `cache` (see `cache()`), k and v are the new ones only: they are remembered behind the old.
   */
  function attention(q, k, v, options = {}) {
    const { causal = false, heads = 1, cache: memory = null } = options;
    const [n, queries, features] = q.shape;
    need([q, k, v].every((x) => x.shape.length === 3), "attention: q, k and v must be (n, time, features)");
    need(k.shape[2] === features && features % heads === 0, `attention: q and k must share features that make ${heads} heads`);
    matches("attention", "v", v, [n, k.shape[1], v.shape[2]]);
    if (memory) remember(memory, k, v);
    const keys = memory ? memory.keys : k.data, values = memory ? memory.values : v.data;
    const length = memory ? memory.length : k.shape[1], room = memory ? memory.room : length;
    const width = v.shape[2], inside = features / heads, outside = width / heads;
    const out = tensor([n, queries, width]), scores = new Float64Array(length), scale = 1 / sqrt(inside);
    const sum = new Float64Array(outside);
    for (let i = 0; i < n; i++) {
      for (let t = 0; t < queries; t++) {
        const seen = causal ? Math.max(0, length - queries + t + 1) : length;
        for (let head = 0; head < heads; head++) {
          const from = (i * queries + t) * features + head * inside;
          for (let j = 0; j < seen; j++) {
            const at = (i * room + j) * features + head * inside;
            let dot = 0;
            for (let l = 0; l < inside; l++) dot += q.data[from + l] * keys[at + l];
            scores[j] = dot * scale;
          }
          softmaxInPlace(scores, 0, seen);
          sum.fill(0);
          for (let j = 0; j < seen; j++) {
            const at = (i * room + j) * width + head * outside;
            for (let l = 0; l < outside; l++) sum[l] += scores[j] * values[at + l];
          }
          out.data.set(sum, (i * queries + t) * width + head * outside);
        }
      }
    }
    return out;
  }

  // ---- whole networks --------------------------------------------------------------------------------------
  /** Replace each of the first groups of coordinates by a one-hot vector of its largest, times `length`. */
  function codes(x, sizes, length) {
    const out = tensor(x.shape, x.data.slice()), width = x.shape[1];
    for (let i = 0; i < x.shape[0]; i++) {
      let start = i * width;
      for (const count of sizes) {
        let best = 0;
        for (let j = 1; j < count; j++) if (x.data[start + j] > x.data[start + best]) best = j;
        out.data.fill(0, start, start + count);
        out.data[start + best] = length;
        start += count;
      }
    }
    return out;
  }

  function flatten(x, start) {
    return reshape(x, [...x.shape.slice(0, start), size(x.shape.slice(start))]);
  }

  const KINDS = {
    linear: (l, w) => (x) => linear(x, w(l.weight), w(l.bias)),
    conv2d: (l, w) => (x) => conv2d(x, w(l.weight), w(l.bias), l),
    convTranspose2d: (l, w) => (x) => convTranspose2d(x, w(l.weight), w(l.bias), l),
    batchNorm: (l, w) => (x) => batchNorm(x, w(l.mean), w(l.variance), w(l.weight), w(l.bias), l.eps),
    layerNorm: (l, w) => (x) => layerNorm(x, w(l.weight), w(l.bias), l.eps),
    groupNorm: (l, w) => (x) => groupNorm(x, l.groups, w(l.weight), w(l.bias), l.eps),
    embedding: (l, w) => (x) => embedding(x, w(l.weight)),
    upsampleNearest: (l) => (x) => upsampleNearest(x, l.scale),
    avgPool2d: (l) => (x) => avgPool2d(x, l.kernel, l),
    maxPool2d: (l) => (x) => maxPool2d(x, l.kernel, l),
    pixelShuffle: (l) => (x) => pixelShuffle(x, l.scale),
    pixelUnshuffle: (l) => (x) => pixelUnshuffle(x, l.scale),
    flatten: (l) => (x) => flatten(x, l.start),
    unflatten: (l) => (x) => reshape(x, [...x.shape.slice(0, l.axis), ...l.shape, ...x.shape.slice(l.axis + 1)]),
    relu: () => relu,
    leakyRelu: (l) => (x) => leakyRelu(x, l.slope),
    gelu: (l) => (x) => gelu(x, l),
    silu: () => silu,
    tanh: () => tanh,
    sigmoid: () => sigmoid,
    softplus: () => softplus,
    softmax: () => softmax,
    addMap: (l, w) => (x) => addMap(x, w(l.bias)),
    codes: (l) => (x) => codes(x, l.sizes, l.length),
    residual: (l, w, weights) => {
      const branch = sequential(l.branch, weights);
      return (x) => add(x, branch(x));
    },
  };

  /** Return the function that a list of layers computes, as genbook.labs.pages.layers wrote it. */
  function sequential(spec, weights) {
    const find = (name) => {
      if (name === null || name === undefined) return null;
      need(weights[name], `sequential: no weights are called ${name}`);
      return weights[name];
    };
    const steps = spec.map((layer) => {
      need(KINDS[layer.kind], `sequential: no layer is called ${layer.kind}`);
      return KINDS[layer.kind](layer, find, weights);
    });
    return (x) => steps.reduce((h, step) => step(h), x);
  }

  // ---- heavy work ------------------------------------------------------------------------------------------
  /** Run heavy work beside the page, which stays awake.
   *
   * `make(GB, report)` is run once in a Web Worker and returns a function of one message; being sent as text, it
   * sees nothing of the page but what it is given. `call(message)` returns a promise of that function's result,
   * `stop()` ends the worker. What the work passes to `report` reaches `options.onReport`; `options.scripts` are
   * texts of classic scripts that run in the worker first (a lab's own script NAME is the textContent of the element
   * script-NAME). Where no worker can be had, the work runs in the page (`threaded` is false).
   */
  function worker(make, options = {}) {
    const waiting = new Map();
    const onReport = options.onReport ?? (() => {});
    const source =
      `"use strict";var GB=(${runtime})();${(options.scripts ?? []).join("\n;")}\n;const work=(${make})(GB,(value)=>postMessage({report:value}));` +
      "onmessage=async(event)=>{const{id,message}=event.data;" +
      "try{postMessage({id,result:await work(message)})}" +
      "catch(error){postMessage({id,error:String((error&&error.message)||error)})}};";
    let next = 0, thread = null, inPage = null;
    try {
      thread = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    } catch (refused) {
      inPage = make(GB, onReport);
    }
    function fail(reason) {
      for (const { reject } of waiting.values()) reject(new Error(reason));
      waiting.clear();
    }
    if (thread) {
      thread.onmessage = ({ data }) => {
        if ("report" in data) return onReport(data.report);
        const { resolve, reject } = waiting.get(data.id);
        waiting.delete(data.id);
        return "error" in data ? reject(new Error(data.error)) : resolve(data.result);
      };
      thread.onerror = (event) => fail(event.message || "the worker could not start");
    }
    return {
      threaded: thread !== null,
      call(message) {
        if (inPage) return new Promise((resolve) => setTimeout(resolve)).then(() => inPage(message));
        if (!thread) return Promise.reject(new Error("the worker was stopped"));
        return new Promise((resolve, reject) => {
          waiting.set(next, { resolve, reject });
          thread.postMessage({ id: next++, message });
        });
      },
      stop() {
        if (thread) thread.terminate();
        thread = inPage = null;
        fail("the worker was stopped");
      },
    };
  }

  const GB = {
    tensor, reshape, load, random, matmul, linear, conv2d, convTranspose2d, upsampleNearest, avgPool2d, maxPool2d,
    pixelShuffle, pixelUnshuffle, layerNorm, groupNorm, batchNorm, attention, cache, embedding, gelu, silu, leakyRelu,
    relu, tanh, sigmoid, softplus, softmax, add, addMap, flatten, codes, erfc, sequential, worker,
  };
  return GB;
})();
