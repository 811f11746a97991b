"use strict";
/* The arithmetic that the labs on autoencoders and variational autoencoders share: pictures, codes, decoders' means.
 *
 * It knows no page, so that it can be read from top to bottom and checked against PyTorch
 * (tests/labs/test_autoencoders_lab.py and test_vaes_lab.py). Both labs use the pictures and their squared error; the
 * linear code and the random codes belong to the first, styles, grids and the normal law to the second. A picture is a Float32Array of 32 × 32 shares of ink,
 * 0 for paper, row by row; a squared error is summed over its pixels.
 */
const LatentCore = (() => {
  const SIDE = 32, PIXELS = SIDE * SIDE;
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

  // ---- pictures --------------------------------------------------------------------------------------------
  /** The pictures of a text in base64: 16 levels, two pixels a byte, the left one in its upper half. */
  function pictures(text) {
    const raw = atob(text), found = [];
    for (let at = 0; at < raw.length; at += PIXELS / 2) {
      const one = new Float32Array(PIXELS);
      for (let i = 0; i < PIXELS / 2; i++) {
        const byte = raw.charCodeAt(at + i);
        one[2 * i] = (byte >> 4) / 15;
        one[2 * i + 1] = (byte & 15) / 15;
      }
      found.push(one);
    }
    return found;
  }

  function squaredError(x, y) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (x[i] - y[i]) ** 2;
    return sum;
  }

  /** The least squared error of x beside any of several pictures. */
  const fromTheNearest = (x, known) => known.reduce((least, one) => Math.min(least, squaredError(x, one)), Infinity);

  /** x moved by whole pixels; paper comes in from outside. */
  function shifted(x, right, down) {
    const out = new Float32Array(PIXELS);
    for (let row = Math.max(0, down); row < Math.min(SIDE, SIDE + down); row++) {
      for (let column = Math.max(0, right); column < Math.min(SIDE, SIDE + right); column++) {
        out[row * SIDE + column] = x[(row - down) * SIDE + column - right];
      }
    }
    return out;
  }

  /** Put a soft round dot of ink, or of paper, on x, in place; row and column are those of its middle. */
  function dot(x, row, column, radius, ink) {
    const reach = radius + 0.5;
    for (let r = Math.max(0, Math.floor(row - reach)); r <= Math.min(SIDE - 1, Math.ceil(row + reach)); r++) {
      for (let c = Math.max(0, Math.floor(column - reach)); c <= Math.min(SIDE - 1, Math.ceil(column + reach)); c++) {
        const cover = clamp(reach - Math.hypot(r - row, c - column), 0, 1), i = r * SIDE + c;
        x[i] = ink ? Math.max(x[i], cover) : Math.min(x[i], 1 - cover);
      }
    }
  }

  /** (1 - share) · x + share · y: of pictures a cross-fade, of codes a walk along the straight line. */
  const blend = (x, y, share) => Float32Array.from(x, (v, i) => (1 - share) * v + share * y[i]);

  /** x + share · d. */
  const moved = (x, d, share) => Float32Array.from(x, (v, i) => v + share * d[i]);

  const cut = (x) => Float32Array.from(x, (v) => clamp(v, 0, 1));

  // ---- principal components --------------------------------------------------------------------------------
  /** The coordinates of x along the components, from the mean. */
  function project({ mean, components }, x) {
    const [latent, length] = components.shape, z = new Float32Array(latent);
    for (let j = 0; j < latent; j++) {
      let sum = 0;
      for (let i = 0; i < length; i++) sum += (x[i] - mean.data[i]) * components.data[j * length + i];
      z[j] = sum;
    }
    return z;
  }

  /** The picture that coordinates z stand for. */
  function rebuild({ mean, components }, z) {
    const [latent, length] = components.shape, x = Float64Array.from(mean.data);
    for (let j = 0; j < latent; j++) for (let i = 0; i < length; i++) x[i] += z[j] * components.data[j * length + i];
    return Float32Array.from(x);
  }

  // ---- laws of codes ---------------------------------------------------------------------------------------
  /** A code whose numbers are even between their least and their largest value, each on its own. */
  const boxCode = ({ low, high }, random) => Float32Array.from(low.data, (v, j) => v + (high.data[j] - v) * random.uniform());

  /** A code from N(mean, factor · factorᵀ); the factor is lower triangular. */
  function gaussianCode({ mean, factor }, random) {
    const n = mean.data.length, noise = Array.from({ length: n }, () => random.normal());
    return Float32Array.from(mean.data, (v, i) => {
      let sum = v;
      for (let j = 0; j <= i; j++) sum += factor.data[i * n + j] * noise[j];
      return sum;
    });
  }

  /** The standard normal distribution function, and its inverse by bisection. */
  const chance = (z) => GB.erfc(-z * Math.SQRT1_2) / 2;
  function quantile(p) {
    let low = -8, high = 8;
    for (let k = 0; k < 50; k++) {
      const middle = (low + high) / 2;
      if (chance(middle) < p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  // ---- decoders --------------------------------------------------------------------------------------------
  /** The mean pictures of a decoder whose planes are logits, means and log-widths of mixtures of logistics.
   *
   * Means lie in [-1, 1] from paper to ink; what the mixture has beyond is cut off. `output` is (n, 3k, 32, 32).
   */
  function inks(output) {
    const [n, planes] = output.shape, k = planes / 3, found = [], { data } = output;
    for (let example = 0; example < n; example++) {
      const one = new Float32Array(PIXELS), start = example * planes * PIXELS;
      for (let i = 0; i < PIXELS; i++) {
        let greatest = -Infinity, total = 0, sum = 0;
        for (let j = 0; j < k; j++) greatest = Math.max(greatest, data[start + j * PIXELS + i]);
        for (let j = 0; j < k; j++) {
          const weight = Math.exp(data[start + j * PIXELS + i] - greatest);
          total += weight;
          sum += weight * data[start + (k + j) * PIXELS + i];
        }
        one[i] = clamp((sum / total + 1) / 2, 0, 1);
      }
      found.push(one);
    }
    return found;
  }

  /** How a picture that depends on a point of the plane changes there, from pictures a step to each side.
   *
   * With J the two derivatives, the eigenvalues of JᵀJ are the squares of `most` and `least`, the distance in ink
   * that a picture travels a unit of z; `angle` is the direction in which it is most.
   */
  function stretch([right, left, up, down], step) {
    let a = 0, b = 0, c = 0;
    for (let i = 0; i < right.length; i++) {
      const first = (right[i] - left[i]) / (2 * step), second = (up[i] - down[i]) / (2 * step);
      a += first * first;
      b += first * second;
      c += second * second;
    }
    const middle = (a + c) / 2, reach = Math.hypot((a - c) / 2, b);
    return { most: Math.sqrt(middle + reach), least: Math.sqrt(Math.max(0, middle - reach)), angle: Math.atan2(2 * b, a - c) / 2 };
  }

  // ---- arithmetic between styles -----------------------------------------------------------------------------
  /** The code of a letter in a style, out of codes (letters, styles, latent). */
  function codeOf({ data, shape }, letter, style) {
    const [, styles, latent] = shape, at = (letter * styles + style) * latent;
    return data.slice(at, at + latent);
  }

  /** The difference between two styles, averaged over all letters but one; `of(letter, style)` gives each vector. */
  function difference(of, letters, without, source, target) {
    const out = new Float64Array(of(0, source).length);
    for (let letter = 0; letter < letters; letter++) {
      if (letter === without) continue;
      const from = of(letter, source), to = of(letter, target);
      for (let i = 0; i < out.length; i++) out[i] += (to[i] - from[i]) / (letters - 1);
    }
    return Float32Array.from(out);
  }

  return {
    SIDE, PIXELS, clamp, pictures, squaredError, fromTheNearest, shifted, dot, blend, moved, cut, project, rebuild,
    boxCode, gaussianCode, chance, quantile, inks, stretch, codeOf, difference,
  };
})();
