/* The live lab "distributions": draw a density, fit it, sample from it.
 *
 * Two parts. The first, GB.distributions, is arithmetic on plain numbers and typed arrays: it draws nothing, and the
 * tests hold it equal to the library. The second is the page.
 *
 * Symbols are those of the chapter: p(x) the truth, N data x_i, components k with weights pi_k, means mu_k and
 * standard deviations sigma_k, responsibilities r_ik, bandwidth h, log-likelihood in nats per point. All arithmetic
 * is in float64.
 */
(function () {
  "use strict";

  /* ==== part 1: the arithmetic ============================================================================== */
  const LOW = -6;
  const HIGH = 6;
  const CELLS = 240; // a drawn density is flat in each of these cells
  const LOG_TWO_PI = Math.log(2 * Math.PI);

  /** The middle of cell j of a table of `cells` cells on [LOW, HIGH]. */
  function centre(j, cells) {
    return LOW + ((j + 0.5) * (HIGH - LOW)) / (cells || CELLS);
  }

  /** log N(x; mean, scale²). */
  function logGaussian(x, mean, scale) {
    const z = (x - mean) / scale;
    return -0.5 * (z * z + LOG_TWO_PI) - Math.log(scale);
  }

  /** Heights (CELLS,) from a function of x; what is negative or not a number becomes 0. */
  function heights(f) {
    const made = new Float64Array(CELLS);
    for (let j = 0; j < CELLS; j += 1) made[j] = Math.max(0, f(centre(j)) || 0);
    return made;
  }

  const gaussians = (parts) => (x) =>
    parts.reduce((sum, [weight, mean, scale]) => sum + weight * Math.exp(logGaussian(x, mean, scale)), 0);

  /* the first is genbook.data.truths.Mixture1D */
  const PRESETS = {
    "three humps": gaussians([[0.25, -2.5, 0.45], [0.55, 0.3, 0.9], [0.2, 2.6, 0.3]]),
    "two humps": gaussians([[0.6, -2.5, 0.6], [0.4, 2.5, 0.6]]),
    "one Gaussian": gaussians([[1, 0.5, 1.2]]),
    "box": (x) => (x > -3 && x < 2 ? 0.2 : 0),
    "spike": gaussians([[0.85, -0.5, 1.6], [0.15, 2, 0.06]]),
    "needle": (x) => (x > 1.9 && x < 2.1 ? 4.9 : 0.02 / 11.8),
    "slope": (x) => (x > -4 ? Math.exp(-(x + 4) / 1.6) : 0),
  };

  /**
   * The density that is flat in each cell, proportional to `raw` (m,): `density` (m,), `cumulative` (m + 1,) from 0 to
   * 1, the `area` that raw had, and the cells' `width`. Throws a RangeError where raw has no area.
   */
  function normalise(raw) {
    const m = raw.length;
    const width = (HIGH - LOW) / m;
    const cumulative = new Float64Array(m + 1);
    for (let j = 0; j < m; j += 1) cumulative[j + 1] = cumulative[j] + raw[j] * width;
    const area = cumulative[m];
    if (!(area > 0) || !Number.isFinite(area)) {
      throw new RangeError("raw must have a positive, finite area, got " + area);
    }
    const density = new Float64Array(m);
    for (let j = 0; j < m; j += 1) {
      density[j] = raw[j] / area;
      cumulative[j + 1] /= area;
    }
    cumulative[m] = 1;
    return { density, cumulative, area, width };
  }

  /** p(x) of a normalised table; 0 outside of [LOW, HIGH). */
  function density(p, x) {
    const j = Math.floor((x - LOW) / p.width);
    return j >= 0 && j < p.density.length ? p.density[j] : 0;
  }

  /** The entropy of a normalised table, in nats. */
  function entropy(p) {
    let sum = 0;
    for (const v of p.density) if (v > 0) sum -= v * Math.log(v) * p.width;
    return sum;
  }

  /** The greatest density of a normalised table. */
  function highest(p) {
    let top = 0;
    for (const v of p.density) if (v > top) top = v;
    return top;
  }

  /** The mean and the standard deviation of a normalised table. */
  function moments(p) {
    let mean = 0;
    let square = 0;
    for (let j = 0; j < p.density.length; j += 1) {
      const x = centre(j, p.density.length);
      mean += p.density[j] * p.width * x;
      square += p.density[j] * p.width * (x * x + (p.width * p.width) / 12);
    }
    return { mean, scale: Math.sqrt(Math.max(square - mean * mean, 0)) };
  }

  /** F⁻¹(u): the x below which a share u in [0, 1) of the mass lies. */
  function inverse(p, u) {
    let left = 0;
    let right = p.density.length; // cumulative[left] <= u < cumulative[right]
    while (right - left > 1) {
      const middle = (left + right) >> 1;
      if (p.cumulative[middle] <= u) left = middle;
      else right = middle;
    }
    const share = (u - p.cumulative[left]) / (p.cumulative[right] - p.cumulative[left]);
    return LOW + p.width * (left + share);
  }

  /** n draws by inverse transform: the uniform numbers `u` (n,) and the draws `x` (n,). */
  function draw(p, n, random) {
    const u = new Float64Array(n);
    const x = new Float64Array(n);
    for (let i = 0; i < n; i += 1) {
      u[i] = random.uniform();
      x[i] = inverse(p, u[i]);
    }
    return { u, x };
  }

  function mean(x) {
    let sum = 0;
    for (const v of x) sum += v;
    return sum / x.length;
  }

  /** Maximum likelihood of one Gaussian in closed form: the mean and the root of the mean squared deviation. */
  function closedForm(x) {
    const middle = mean(x);
    let square = 0;
    for (const v of x) square += (v - middle) * (v - middle);
    return { mean: middle, scale: Math.sqrt(square / x.length) };
  }

  /** The mean log-likelihood of x under one Gaussian, in nats per point. */
  function gaussianScore(x, theta) {
    let sum = 0;
    for (const v of x) sum += logGaussian(v, theta.mean, theta.scale);
    return sum / x.length;
  }

  /** The gradient of gaussianScore by the mean and by the logarithm of the scale. */
  function gaussianGradient(x, theta) {
    let first = 0;
    let second = 0;
    for (const v of x) {
      const z = (v - theta.mean) / theta.scale;
      first += z / theta.scale;
      second += z * z - 1;
    }
    return { mean: first / x.length, logScale: second / x.length };
  }

  /** One step of gradient ascent, kept within means of ±20 and scales from 0.01 to 50. */
  function ascend(x, theta, rate) {
    const slope = gaussianGradient(x, theta);
    const limit = (v, low, high) => Math.min(Math.max(v, low), high);
    return {
      mean: limit(theta.mean + rate * slope.mean, -20, 20),
      scale: Math.exp(limit(Math.log(theta.scale) + rate * slope.logScale, Math.log(0.01), Math.log(50))),
    };
  }

  /** E-step: the responsibilities r (N * K, point by point), and the mean log-likelihood in nats per point. */
  function expect(x, theta) {
    const K = theta.means.length;
    const r = new Float64Array(x.length * K);
    const logWeights = theta.weights.map(Math.log);
    let total = 0;
    for (let i = 0; i < x.length; i += 1) {
      let top = -Infinity;
      for (let k = 0; k < K; k += 1) {
        const joint = logWeights[k] + logGaussian(x[i], theta.means[k], theta.scales[k]);
        r[i * K + k] = joint;
        if (joint > top) top = joint;
      }
      let sum = 0;
      for (let k = 0; k < K; k += 1) sum += Math.exp(r[i * K + k] - top);
      const logProb = top + Math.log(sum);
      for (let k = 0; k < K; k += 1) r[i * K + k] = Math.exp(r[i * K + k] - logProb);
      total += logProb;
    }
    return { r, score: total / x.length };
  }

  /** M-step: weights, means and scales (K,) from responsibilities; `ridge` is added to each variance. */
  function maximise(x, r, ridge) {
    const K = r.length / x.length;
    const weights = new Float64Array(K);
    const means = new Float64Array(K);
    const scales = new Float64Array(K);
    let all = 0;
    for (let k = 0; k < K; k += 1) {
      let count = 1e-12;
      let sum = 0;
      for (let i = 0; i < x.length; i += 1) {
        count += r[i * K + k];
        sum += r[i * K + k] * x[i];
      }
      means[k] = sum / count;
      let square = 0;
      for (let i = 0; i < x.length; i += 1) square += r[i * K + k] * (x[i] - means[k]) ** 2;
      scales[k] = Math.sqrt(square / count + ridge);
      weights[k] = count;
      all += count;
    }
    for (let k = 0; k < K; k += 1) weights[k] /= all;
    return { weights, means, scales };
  }

  /**
   * A start for EM with equal weights. "side by side": means evenly from -4 to 4, scales 1. "one place": all means 0,
   * scales 1. "on data": k-means++ centres and one pooled scale, sorted.
   */
  function begin(kind, K, x, random) {
    const weights = new Float64Array(K).fill(1 / K);
    const means = new Float64Array(K);
    const scales = new Float64Array(K).fill(1);
    if (kind === "side by side") {
      for (let k = 0; k < K; k += 1) means[k] = K === 1 ? 0 : -4 + (8 * k) / (K - 1);
    } else if (kind === "on data") {
      const gap = new Float64Array(x.length).fill(Infinity); // squared distance to the nearest centre
      let next = random.integer(x.length);
      for (let k = 0; k < K; k += 1) {
        means[k] = x[next];
        let total = 0;
        for (let i = 0; i < x.length; i += 1) {
          gap[i] = Math.min(gap[i], (x[i] - means[k]) ** 2);
          total += gap[i];
        }
        let left = random.uniform() * total;
        next = random.integer(x.length);
        for (let i = 0; i < x.length && total > 0; i += 1) {
          left -= gap[i];
          if (left < 0) {
            next = i;
            break;
          }
        }
      }
      means.sort();
      scales.fill(Math.max(Math.sqrt(mean(gap)), 0.05));
    }
    return { weights, means, scales };
  }

  /** The density of a mixture at x. */
  function mixtureDensity(theta, x) {
    let sum = 0;
    for (let k = 0; k < theta.means.length; k += 1) {
      sum += theta.weights[k] * Math.exp(logGaussian(x, theta.means[k], theta.scales[k]));
    }
    return sum;
  }

  /** The log-density (m,) of a kernel density estimate from `data` (N,) with bandwidth h, at the places `x` (m,). */
  function kernelLogProb(x, data, h) {
    const logProb = new Float64Array(x.length);
    const squares = new Float64Array(data.length);
    const constant = Math.log(h) + 0.5 * LOG_TWO_PI + Math.log(data.length);
    for (let i = 0; i < x.length; i += 1) {
      let least = Infinity;
      for (let j = 0; j < data.length; j += 1) {
        const z = (x[i] - data[j]) / h;
        squares[j] = 0.5 * z * z;
        if (squares[j] < least) least = squares[j];
      }
      let sum = 0;
      for (let j = 0; j < data.length; j += 1) {
        const behind = squares[j] - least;
        if (behind < 40) sum += Math.exp(-behind); // exp(-40) is below the rounding of the sum
      }
      logProb[i] = Math.log(sum) - least - constant;
    }
    return logProb;
  }

  /** Silverman's rule of thumb for the bandwidth. */
  function silverman(x) {
    const scale = closedForm(x).scale * Math.sqrt(x.length / (x.length - 1));
    return scale * (4 / (3 * x.length)) ** 0.2;
  }

  /**
   * The roof M q(x) of rejection sampling over the table p. `kind` is "flat" (q uniform on [LOW, HIGH]) or "Gaussian"
   * (q with the mean of p and 1.3 times its scale). `height` 1 is the lowest roof that p fits under; below 1 it cuts.
   * Returns `roof(x)`, `propose(random)`, `M` and the `share` of darts that will be kept.
   */
  function envelope(p, kind, height) {
    const m = p.density.length;
    const { mean: middle, scale } = moments(p);
    const wide = Math.max(1.3 * scale, 0.02);
    const q =
      kind === "flat"
        ? (x) => (x >= LOW && x < HIGH ? 1 / (HIGH - LOW) : 0)
        : (x) => Math.exp(logGaussian(x, middle, wide));
    let needed = 0;
    for (let j = 0; j < m; j += 1) {
      if (p.density[j] === 0) continue;
      const edge = LOW + j * p.width;
      const least = kind === "flat" ? 1 / (HIGH - LOW) : Math.min(q(edge), q(edge + p.width));
      needed = Math.max(needed, p.density[j] / least);
    }
    const M = needed * height;
    let under = 0; // the area under both p and the roof
    for (let j = 0; j < m; j += 1) under += Math.min(p.density[j], M * q(centre(j, m))) * p.width;
    return {
      kind,
      height,
      M,
      share: under / M,
      cut: 1 - under,
      roof: (x) => M * q(x),
      propose: (random) =>
        kind === "flat" ? LOW + (HIGH - LOW) * random.uniform() : middle + wide * random.normal(),
    };
  }

  /** One dart: proposed at x, thrown at a height y below the roof, kept where it lands under p. */
  function dart(p, cover, random) {
    const x = cover.propose(random);
    const y = cover.roof(x) * random.uniform();
    return { x, y, kept: y < density(p, x) };
  }

  /** One Metropolis step from x: the proposal x', its chance min(1, p(x')/p(x)), and the state after it. */
  function metropolis(x, target, width, random) {
    const proposal = x + width * random.normal();
    const chance = Math.min(1, target(proposal) / target(x));
    const moved = random.uniform() < chance;
    return { x: moved ? proposal : x, proposal, chance, moved };
  }

  /**
   * How many independent draws the states of a chain are worth: their number over 1 + 2 sum of the autocorrelations,
   * summed in pairs while these stay positive (Geyer 1992). A chain that never moved is worth 1.
   */
  function worth(chain) {
    const n = chain.length;
    if (n < 4) return Math.min(n, 1);
    const middle = mean(chain);
    const at = (lag) => {
      let sum = 0;
      for (let i = lag; i < n; i += 1) sum += (chain[i] - middle) * (chain[i - lag] - middle);
      return sum / n;
    };
    const variance = at(0);
    if (!(variance > 0)) return 1;
    let time = -1;
    for (let lag = 0; lag + 1 < Math.min(n, 1000); lag += 2) {
      const pair = (at(lag) + at(lag + 1)) / variance;
      if (pair <= 0) break;
      time += 2 * pair;
    }
    return Math.min(Math.max(n / Math.max(time, 1e-9), 1), n);
  }

  /** Half the sum of |share of the bin - its mass under p|: how much of the histogram’s mass is out of place. */
  function misplaced(counts, p) {
    let total = 0;
    for (const c of counts) total += c;
    if (total === 0) return 1;
    let sum = 0;
    const cells = p.density.length / counts.length;
    for (let b = 0; b < counts.length; b += 1) {
      sum += Math.abs(counts[b] / total - (p.cumulative[(b + 1) * cells] - p.cumulative[b * cells]));
    }
    return sum / 2;
  }

  GB.distributions = {
    LOW, HIGH, CELLS, PRESETS, centre, heights, normalise, density, entropy, highest, moments, inverse, draw,
    logGaussian, closedForm, gaussianScore, gaussianGradient, ascend, expect, maximise, begin, mixtureDensity,
    kernelLogProb, silverman, envelope, dart, metropolis, worth, misplaced,
  };

  /* ==== part 2: the page ==================================================================================== */
  const D = GB.distributions;
  const SIZES = [10, 20, 50, 100, 200, 500];
  const HELD = 500; // points held out: they score a fit and are never fitted
  const BINS = 48; // of the histograms of samples: five cells each
  const RIDGE = 1e-4; // added to each variance by the M-step: no component is narrower than 0.01
  const RATES = [1, 2, 4, 8, 15, 30, 60, 250, 1000];
  const LIMIT = 50000; // darts or steps of one run
  const PEAK = 1 / Math.sqrt(2 * Math.PI);

  const STYLE = `
.picture canvas[tabindex="-1"] { cursor: default; }`;

  const QUESTIONS = {
    draw: [
      "Squeeze the curve until nearly all of its area lies in a stretch 0.2 wide. How far up must the axis then reach?",
      "To about 5, for 0.2 times 5 is 1. A density is not a probability: only its area must be 1, and it may be as high as you like. That is why the numbers on the axis move while you draw. Try “needle” under Begin with; by hand you reach about 4, for your stroke is smoothed.",
    ],
    gaussian: [
      "Draw two humps far apart. Where will the best single Gaussian put its peak?",
      "In the empty middle, if the humps weigh the same. The best mean is the mean of the data, the best variance their mean squared deviation; the logarithm punishes “never” without limit, so the Gaussian must cover both humps.",
    ],
    mixture: [
      "Start all components in one place. What will EM make of them?",
      "A single Gaussian. Equal components get equal responsibilities, so the M-step moves them alike, and they stay equal for ever: a saddle. EM climbs; it does not promise to find the summit. Choose “all in one place” and step.",
    ],
    kernel: [
      "Make the bandwidth smaller and smaller. What do the two log-likelihoods do?",
      "The one on the training data rises for ever: a spike on each point, the list of the data once more. The one on held-out data rises, peaks and falls. Left of its peak the estimate over-fits.",
    ],
    rejection: [
      "Throw two thousand darts, then double the height of the roof and throw as many again. What becomes of the acceptance rate, and what of the histogram?",
      "Half as many darts are kept, and the histogram has the same shape: the law of the kept darts does not depend on the roof. Lower it into the curve, though, and the peaks are cut off, while the acceptance rate looks better than before.",
    ],
    metropolis: [
      "Make the proposals very narrow. Almost every move is then accepted. Is that good?",
      "No. Steps so small stay where they are: a thousand states may be worth a handful of draws, and the walker may never find another hump. Very wide proposals are nearly all refused, and it stands still. Somewhere between is best, and where there are gaps it is wider than one would think, for only a long step crosses them.",
    ],
  };

  const HINTS = {
    draw: "Draw the curve with finger or mouse. With keys: ← → move the caret, ↑ ↓ raise and lower the curve, with Shift in a narrower stretch.",
    gaussian: "Drag the top of the bell to fit by hand. With keys: ← → move it, ↑ ↓ make it narrower and wider.",
    mixture: "Below the axis each point is shared out among the components (rᵢₖ). Drag the top of a component to begin elsewhere. With keys: 1 to 6 choose it, ← → move it, ↑ ↓ make it narrower and wider.",
    kernel: "One small Gaussian on each data point, all averaged. Play goes from wide to narrow.",
    rejection: "Throw darts evenly below the roof; keep those that land under the curve. After a change the dotted outline shows the histogram of before.",
    metropolis: "Touch the picture to put the walker there. With keys: ← → move it.",
  };

  const { write, words, line } = Lab;
  const percent = (share) => `${write(100 * share, share < 0.0995 && share > 0 ? 1 : 0)} %`;
  const plural = (n, word) => `${n.toLocaleString("en-GB")} ${word}${n === 1 ? "" : "s"}`;
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);

  /** Mix two "#rrggbb" colours: `share` of the first. */
  function mix(first, second, share) {
    const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    const b = parts(second);
    return `rgb(${parts(first).map((v, i) => Math.round(share * v + (1 - share) * b[i])).join(",")})`;
  }

  function main(root) {
    const make = (tag, parent, properties) => {
      const element = Object.assign(document.createElement(tag), properties);
      parent.appendChild(element);
      return element;
    };
    make("style", document.head, { textContent: STYLE });

    /* ---- what is known ---------------------------------------------------------------------------------- */
    const state = { stage: "draw", method: "mixture", sampler: "rejection", source: "truth", seed: 1, size: 200, showTruth: true };
    let raw = scaled("three humps"); // what was drawn, from 0 to 1
    let p; // the truth: raw, normalised
    let H; // its entropy
    let train; // {u, x}
    let held; // (HELD,)

    function scaled(name) {
      const made = D.heights(D.PRESETS[name]);
      const top = made.reduce((a, b) => Math.max(a, b), 0);
      return made.map((v) => (0.86 * v) / top);
    }

    /* each purpose has its own stream of random numbers, so that one choice does not move the others */
    const stream = (purpose) => GB.random(state.seed * 100 + purpose);

    function changed() {
      p = D.normalise(raw);
      H = D.entropy(p);
      train = D.draw(p, state.size, stream(1));
      held = D.draw(p, HELD, stream(2)).x;
      for (const machine of Object.values(machines)) machine.stale = true;
      machines.draw.shown = state.size;
      machines.draw.stale = false;
      if (machine() !== machines.draw) ready();
    }

    const machine = () => machines[state.stage === "draw" ? "draw" : state.stage === "fit" ? state.method : state.sampler];

    function ready() {
      const now = machine();
      if (now.stale) {
        now.stale = false;
        now.reset();
      }
    }

    /* ---- drawing ---------------------------------------------------------------------------------------- */
    const LEFT = 40;
    const RIGHT = 12;

    /** A plot of x from LOW to HIGH inside a canvas. */
    function plot(c, W, H_, { top, bottom, low = 0, high }) {
      const X = (x) => LEFT + ((x - D.LOW) / (D.HIGH - D.LOW)) * (W - LEFT - RIGHT);
      const Y = (y) => bottom - ((y - low) / (high - low)) * (bottom - top);
      return {
        c, W, X, Y, top, bottom, low, high,
        x: (at) => D.LOW + ((at - LEFT) / (W - LEFT - RIGHT)) * (D.HIGH - D.LOW),
        y: (at) => low + ((bottom - at) / (bottom - top)) * (high - low),
      };
    }

    function ticks(low, high, wanted) {
      const rough = (high - low) / wanted;
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].find((s) => s * power >= rough) * power;
      const found = [];
      for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step) found.push(v);
      return { found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
    }

    function axes(v, { labels, count = 4, name = "" }) {
      const { c } = v;
      const { found, digits } = ticks(v.low, v.high, count);
      for (const t of found) {
        if (v.Y(t) < v.top - 1 || v.Y(t) > v.bottom + 1) continue;
        line(c, "rule", 1, () => {
          c.moveTo(LEFT, Math.round(v.Y(t)) + 0.5);
          c.lineTo(v.W - RIGHT, Math.round(v.Y(t)) + 0.5);
        });
        words(c, write(t, digits), LEFT - 6, v.Y(t), { align: "right" });
      }
      if (name) words(c, name, LEFT, v.top - 10);
      if (labels !== undefined) {
        for (let x = D.LOW; x <= D.HIGH; x += 2) {
          words(c, x === D.HIGH ? "x = 6" : write(x, 0), Math.min(v.X(x), v.W - 18), labels, { align: "center" });
        }
      }
    }

    function curve(v, f, { colour, width = 2, fill = 0, dash, points = 481, from = D.LOW, to = D.HIGH }) {
      const { c } = v;
      c.save();
      c.beginPath();
      c.rect(LEFT, v.top - 4, v.W - LEFT - RIGHT, v.bottom - v.top + 5);
      c.clip();
      const path = () => {
        for (let i = 0; i < points; i += 1) {
          const x = from + ((to - from) * i) / (points - 1);
          if (i === 0) c.moveTo(v.X(x), v.Y(f(x)));
          else c.lineTo(v.X(x), v.Y(f(x)));
        }
      };
      if (fill) {
        c.beginPath();
        path();
        c.lineTo(v.X(to), v.bottom);
        c.lineTo(v.X(from), v.bottom);
        c.closePath();
        c.globalAlpha = fill;
        c.fillStyle = colour.startsWith("rgb") ? colour : Lab.colour(colour);
        c.fill();
        c.globalAlpha = 1;
      }
      if (width) line(c, colour, width, path, dash);
      c.restore();
    }

    /** The middles of a table's cells, joined. */
    function table(v, q, options) {
      const m = q.density.length;
      curve(v, (x) => q.density[clamp(Math.floor((x - D.LOW) / q.width), 0, m - 1)], {
        ...options,
        points: m,
        from: D.centre(0, m),
        to: D.centre(m - 1, m),
      });
    }

    function bars(v, counts, colour, alpha) {
      let total = 0;
      for (const n of counts) total += n;
      if (!total) return;
      const width = (D.HIGH - D.LOW) / counts.length;
      v.c.globalAlpha = alpha;
      v.c.fillStyle = Lab.colour(colour);
      for (let b = 0; b < counts.length; b += 1) {
        const x = v.X(D.LOW + b * width);
        const y = Math.max(v.Y(counts[b] / total / width), v.top);
        v.c.fillRect(x + 0.5, y, v.X(D.LOW + (b + 1) * width) - x - 1, v.bottom - y);
      }
      v.c.globalAlpha = 1;
    }

    function histogram(x, bins) {
      const counts = new Float64Array(bins);
      for (const value of x) {
        const b = Math.floor(((value - D.LOW) / (D.HIGH - D.LOW)) * bins);
        if (b >= 0 && b < bins) counts[b] += 1;
      }
      return counts;
    }

    function rug(v, x, colour, from, to) {
      const alpha = x.length > 100 ? 0.6 : 0.9;
      line(v.c, mix(Lab.colour(colour), Lab.colour("paper"), alpha), 1.2, () => {
        for (const value of x) {
          v.c.moveTo(v.X(value), from);
          v.c.lineTo(v.X(value), to);
        }
      });
    }

    /** The names of what is drawn, each in its colour, from the right end of the top line. */
    function key(v, entries) {
      let right = v.W - RIGHT;
      for (const [text, colour, dash] of entries.slice().reverse()) {
        const width = words(v.c, text, right, v.top - 10, { colour: colour === "noise" ? "quiet" : colour, align: "right" });
        line(v.c, colour, 2.5, () => {
          v.c.moveTo(right - width - 18, v.top - 10);
          v.c.lineTo(right - width - 5, v.top - 10);
        }, dash);
        right -= width + (v.W < 480 ? 26 : 34);
      }
    }

    function dot(c, x, y, radius, colour, hollow) {
      c.beginPath();
      c.arc(x, y, radius, 0, 7);
      c.fillStyle = hollow ? Lab.colour("paper") : colour.startsWith("rgb") ? colour : Lab.colour(colour);
      c.fill();
      c.strokeStyle = hollow ? Lab.colour(colour) : Lab.colour("paper");
      c.lineWidth = 1.5;
      c.stroke();
    }

    const BAND = 50; // below the density: the data and their responsibilities
    const density = (c, W, h, high) => plot(c, W, h, { top: 26, bottom: h - BAND - 22, high });

    function truthOf(v, faint) {
      if (state.showTruth) table(v, p, { colour: "truth", width: faint ? 1.4 : 2 });
    }

    /** How high the axis goes when a model of height `top` is drawn beside the truth. */
    const reach = (top) => Math.max(1.14 * D.highest(p), Math.min(1.08 * top, 2.4 * D.highest(p)));

    /** The log-likelihood curves: `at` (n,) from left to right, `marks` of the x-axis as [position, text]. */
    function scores(c, W, h, history, { position, marks, name, best }) {
      const shown = history.filter((s) => Number.isFinite(s.train));
      const floor = -H - 1.6;
      let low = -H;
      let high = -H;
      for (const s of shown) {
        low = Math.min(low, Math.max(floor, Math.min(s.train, s.held)));
        high = Math.max(high, s.train, Math.max(s.held, floor));
      }
      high = Math.min(high, -H + 2.5);
      const space = Math.max(high - low, 0.2) * 0.12;
      const v = plot(c, W, h, { top: 26, bottom: h - 22, low: low - space, high: high + space });
      axes(v, { count: 3 });
      if (W >= 560) words(c, "log-likelihood, nats per point", LEFT, v.top - 10);
      else words(c, "nats per point", LEFT + 4, v.bottom - 9);
      for (const [share, text] of marks) {
        words(c, text, LEFT + share * (W - LEFT - RIGHT), h - 10, { align: share < 0.04 ? "left" : share > 0.96 ? "right" : "center" });
      }
      if (name) words(c, name, W / 2 + LEFT / 2, h - 10, { align: "center" });
      const mark = best || shown[shown.length - 1];
      const number = (field) => (mark ? ` ${write(mark[field], 3)}` : "");
      key(v, [[`training${number("train")}`, "noise", [4, 3]], [`held out${number("held")}`, "data"], [`truth ${write(-H)}`, "truth", [1, 3]]].slice(0, state.showTruth ? 3 : 2));
      c.save();
      c.beginPath();
      c.rect(LEFT - 6, v.top - 6, W - LEFT - RIGHT + 12, v.bottom - v.top + 12);
      c.clip();
      if (state.showTruth) {
        line(c, "truth", 1.5, () => {
          c.moveTo(LEFT, v.Y(-H));
          c.lineTo(W - RIGHT, v.Y(-H));
        }, [1, 3]);
      }
      const at = (s) => LEFT + position(s) * (W - LEFT - RIGHT);
      for (const [field, colour, dash] of [["train", "noise", [4, 3]], ["held", "data", []]]) {
        line(c, colour, 2, () => shown.forEach((s, i) => (i ? c.lineTo(at(s), v.Y(s[field])) : c.moveTo(at(s), v.Y(s[field])))), dash);
      }
      if (best) for (const s of shown) dot(c, at(s), v.Y(s.held), 2, "data"); // what was tried, for lines suggest more
      if (mark) for (const [field, colour] of [["train", "noise"], ["held", "data"]]) dot(c, at(mark), v.Y(mark[field]), 4, colour);
      c.restore();
    }

    /* ---- the six machines: each steps, resets, says and draws itself ------------------------------------- */
    const score = (s) => `log-likelihood ${write(s.train, 3)} nats per point, held out ${write(s.held, 3)}`;

    const machines = {
      draw: {
        rate: 4,
        shown: 200,
        step() {
          if (this.shown >= state.size) this.shown = 0;
          this.shown += 1;
          return this.shown < state.size;
        },
        reset() { this.shown = 0; },
        sentence() {
          const i = this.shown - 1;
          if (this.shown === 0) return "No data yet: Step draws one point, Play draws them one after another.";
          if (this.shown < state.size) {
            return `Point ${this.shown} of ${state.size}: the random number u = ${write(train.u[i], 3)} becomes x = F⁻¹(u) = ${write(train.x[i])}.`;
          }
          return `${plural(state.size, "point")} drawn from your density; its area is 1, its greatest value ${write(D.highest(p))}, its entropy ${write(H)} nats.`;
        },
        main(c, W, h) {
          const v = density(c, W, h, 1 / p.area);
          axes(v, { labels: h - 9, name: "density p(x)" });
          key(v, [["truth", "truth"], ["data", "data"]]);
          table(v, p, { colour: "truth", width: 2.5, fill: 0.08 });
          rug(v, train.x.subarray(0, this.shown), "data", v.bottom + 6, v.bottom + BAND - 6);
          if (!touched) {
            const invitation = W < 400 ? "draw here" : "draw here, with finger, mouse or arrow keys";
            words(c, invitation, (LEFT + W - RIGHT) / 2, v.top + 8, { colour: "attention", align: "center", weight: "600" });
          }
          if (caret.visible) {
            const j = clamp(Math.floor((caret.x - D.LOW) / p.width), 0, D.CELLS - 1);
            line(c, "attention", 1.5, () => {
              c.moveTo(v.X(caret.x), v.top);
              c.lineTo(v.X(caret.x), v.bottom);
            }, [4, 3]);
            dot(c, v.X(caret.x), v.Y(p.density[j]), 6, "attention");
          }
          return v;
        },
        side(c, W, h) {
          const v = plot(c, W, h, { top: 26, bottom: h - 22, high: 1 });
          axes(v, { labels: h - 9, count: 2, name: "F(x), the mass below x" });
          key(v, [["u", "noise"], ["x", "data"]]);
          const last = this.shown < state.size ? Math.min(this.shown, 12) : Math.min(this.shown, 40);
          for (let i = Math.max(0, this.shown - last); i < this.shown; i += 1) {
            const newest = this.shown < state.size && i === this.shown - 1;
            const share = newest ? 1 : this.shown < state.size ? 0.25 : 0.3;
            const [x, y] = [v.X(train.x[i]), v.Y(train.u[i])];
            line(c, mix(Lab.colour("noise"), Lab.colour("paper"), share), newest ? 2 : 1, () => {
              c.moveTo(LEFT, y);
              c.lineTo(x, y);
            });
            line(c, mix(Lab.colour("data"), Lab.colour("paper"), share), newest ? 2 : 1, () => {
              c.moveTo(x, y);
              c.lineTo(x, v.bottom);
            });
            if (newest) dot(c, x, v.bottom, 5, "data");
          }
          line(c, "truth", 2, () => {
            for (let j = 0; j <= D.CELLS; j += 2) {
              const at = [v.X(D.LOW + j * p.width), v.Y(p.cumulative[j])];
              if (j) c.lineTo(...at);
              else c.moveTo(...at);
            }
          });
        },
        alt: () => `Your density over x from −6 to 6, and below it ${machines.draw.shown} data points.`,
        sideAlt: "The cumulative distribution F(x); random heights u on the left become data x below.",
        grab: "density",
      },

      gaussian: {
        rate: 15,
        reset() {
          this.best = D.closedForm(train.x);
          this.ideal = { train: D.gaussianScore(train.x, this.best), held: D.gaussianScore(held, this.best) };
          this.from({ mean: -4, scale: 3 });
        },
        from(theta) {
          this.theta = theta;
          this.trail = [];
          this.history = [];
          this.how = "";
          this.note();
        },
        note() {
          this.history.push({ t: this.history.length, train: D.gaussianScore(train.x, this.theta), held: D.gaussianScore(held, this.theta) });
        },
        step() {
          this.trail.push(this.theta);
          this.theta = D.ascend(train.x, this.theta, controls.rate());
          this.how = "";
          this.note();
          const slope = D.gaussianGradient(train.x, this.theta);
          return this.history.length < 2000 && Math.abs(slope.mean) * this.theta.scale + Math.abs(slope.logScale) > 1e-4;
        },
        jump() {
          this.trail.push(this.theta);
          this.theta = this.best;
          this.how = "closed";
          this.note();
        },
        sentence() {
          const now = this.history[this.history.length - 1];
          const what = `mean ${write(this.theta.mean)}, scale ${write(this.theta.scale)}`;
          if (this.how === "closed") return `Closed form: ${what}; ${score(now)}: no Gaussian does better on the training data.`;
          const gap = this.ideal.train - now.train;
          const best = gap < 0.0005 ? "the best there is" : `the best is ${write(this.ideal.train, 3)}`;
          return `${now.t === 0 ? (this.how === "hand" ? "Fitted by hand" : "Start") : `Gradient step ${now.t}`}: ${what}; ${score(now)}; ${best}.`;
        },
        main(c, W, h) {
          const v = density(c, W, h, reach(PEAK / this.theta.scale));
          axes(v, { labels: h - 9, name: "density" });
          key(v, fitted());
          bars(v, histogram(train.x, 24), "data", 0.14);
          this.trail.slice(-12).forEach((old, i, all) => {
            curve(v, (x) => Math.exp(D.logGaussian(x, old.mean, old.scale)), {
              colour: mix(Lab.colour("model"), Lab.colour("paper"), 0.1 + (0.3 * (i + 1)) / all.length), width: 1, points: 121,
            });
          });
          truthOf(v);
          curve(v, (x) => Math.exp(D.logGaussian(x, this.theta.mean, this.theta.scale)), { colour: "model", width: 3, fill: 0.12 });
          dot(c, v.X(clamp(this.theta.mean, D.LOW, D.HIGH)), Math.max(v.Y(PEAK / this.theta.scale), v.top), 7, "model");
          rug(v, train.x, "data", v.bottom + 6, v.bottom + BAND - 6);
          return v;
        },
        side(c, W, h) {
          const n = Math.max(this.history.length - 1, 20);
          scores(c, W, h, this.history, { position: (s) => s.t / n, marks: [[0, "0"], [1, String(n)]], name: "gradient steps" });
        },
        model() { return (x) => Math.exp(D.logGaussian(x, this.theta.mean, this.theta.scale)); },
        called: () => "one Gaussian",
        alt: () => "The data, the truth, and one Gaussian on its way to the best fit.",
        sideAlt: "The log-likelihood after each gradient step, on training and on held-out data.",
        grab: "bell",
        move(x, top) {
          this.from({ mean: x, scale: clamp(PEAK / Math.max(top, 1e-3), 0.1, 8) });
          this.how = "hand";
        },
        nudge(dx, factor) {
          this.from({ mean: clamp(this.theta.mean + dx, D.LOW, D.HIGH), scale: clamp(this.theta.scale * factor, 0.1, 8) });
          this.how = "hand";
        },
      },

      mixture: {
        rate: 2,
        chosen: 0,
        reset() {
          this.from(D.begin(controls.start(), controls.K(), train.x, stream(3)));
        },
        from(theta) {
          this.theta = theta;
          this.r = null;
          this.phase = "E";
          this.round = 0;
          this.fresh = true;
          this.settled = false;
          this.history = [];
          this.chosen = Math.min(this.chosen, theta.means.length - 1);
          this.note();
        },
        note() {
          this.history.push({ t: this.round, train: D.expect(train.x, this.theta).score, held: D.expect(held, this.theta).score });
        },
        step() {
          this.fresh = false;
          if (this.phase === "E") {
            this.r = D.expect(train.x, this.theta).r;
            this.phase = "M";
            return true;
          }
          this.theta = D.maximise(train.x, this.r, RIDGE);
          this.phase = "E";
          this.round += 1;
          const before = this.history[this.history.length - 1].train;
          this.note();
          this.settled = Math.abs(this.history[this.history.length - 1].train - before) < 1e-6;
          return !this.settled && this.round < 1000;
        },
        sentence() {
          const now = this.history[this.history.length - 1];
          if (this.phase === "M") {
            return `E-step of round ${this.round + 1}: every point is shared out among the components. ${score(now)[0].toUpperCase()}${score(now).slice(1)}.`;
          }
          const narrow = Array.from(this.theta.scales).findIndex((s) => s < 0.02);
          const word = narrow >= 0 ? ` Component ${narrow + 1} has collapsed onto a point.` : this.settled ? " EM has settled." : "";
          return `${this.round === 0 ? "Start" : `Round ${this.round}`}: ${score(now)}.${word}`;
        },
        shade(k) {
          const share = [1, 0.45, 0.75, 0.3, 0.6, 0.88][k % 6];
          return mix(Lab.colour("model"), Lab.colour("paper"), share);
        },
        main(c, W, h) {
          const { weights, means, scales } = this.theta;
          const K = means.length;
          let top = 0;
          for (let i = 0; i < 241; i += 1) top = Math.max(top, D.mixtureDensity(this.theta, D.LOW + i / 20));
          const v = density(c, W, h, reach(top));
          axes(v, { labels: h - 9, name: "density" });
          key(v, fitted());
          bars(v, histogram(train.x, 24), "data", 0.14);
          for (let k = 0; k < K; k += 1) {
            const part = (x) => weights[k] * Math.exp(D.logGaussian(x, means[k], scales[k]));
            curve(v, part, { colour: this.shade(k), width: 0, fill: 0.6 });
            curve(v, part, { colour: "model", width: 1 });
          }
          truthOf(v);
          curve(v, (x) => D.mixtureDensity(this.theta, x), { colour: "model", width: 3 });
          const badges = []; // components that stand in one place share a badge
          for (let k = 0; k < K; k += 1) {
            const y = clamp(v.Y((weights[k] * PEAK) / scales[k]), v.top + 6, v.bottom - 10);
            const x = v.X(clamp(means[k], D.LOW, D.HIGH));
            const marked = caret.visible && k === this.chosen;
            const there = badges.find((other) => Math.abs(other.x - x) < 3 && Math.abs(other.y - y) < 3);
            if (there) {
              there.text += `·${k + 1}`;
              there.marked = there.marked || marked;
            } else badges.push({ x, y, marked, text: String(k + 1) });
          }
          for (const { x, y, marked, text } of badges) {
            dot(c, x, y, 9 + 4 * (text.length - 1), marked ? "attention" : "model", true);
            words(c, text, x, y + 0.5, { colour: "ink", align: "center", weight: "600" });
          }
          /* whose is each point? one bar each, its shares stacked in the order of the components */
          const [from, to] = [v.bottom + 8, v.bottom + BAND - 4];
          if (!this.r) {
            rug(v, train.x, "data", from - 2, to - 2);
          } else {
            const stale = this.phase === "E"; // the components have moved since
            const wide = clamp((0.6 * (W - LEFT - RIGHT)) / state.size, 1.5, 7);
            c.globalAlpha = stale ? 0.6 : 1;
            for (let i = 0; i < state.size; i += 1) {
              let y = to;
              for (let k = 0; k < K; k += 1) {
                const tall = this.r[i * K + k] * (to - from - 6);
                c.fillStyle = this.shade(k);
                c.fillRect(v.X(train.x[i]) - wide / 2, y - tall, wide, tall);
                y -= tall;
              }
            }
            c.globalAlpha = 1;
            rug(v, train.x, "data", from - 4, from + 5);
            words(c, "rᵢₖ", LEFT - 6, (from + to) / 2 + 3, { align: "right" });
          }
          return v;
        },
        side(c, W, h) {
          const n = Math.max(this.round, 12);
          scores(c, W, h, this.history, { position: (s) => s.t / n, marks: [[0, "0"], [1, String(n)]], name: "rounds of EM" });
        },
        model() {
          const theta = this.theta;
          return (x) => D.mixtureDensity(theta, x);
        },
        called() { return `mixture of ${this.theta.means.length}`; },
        alt: () => `The data, the truth, and a mixture of ${machines.mixture.theta.means.length} Gaussians with its components; below, the share that each component has in each point.`,
        sideAlt: "The log-likelihood after each round of EM, on training and on held-out data.",
        grab: "component",
        nearest(v, x, y) {
          const { weights, means, scales } = this.theta;
          let [best, least] = [0, Infinity];
          for (let k = 0; k < means.length; k += 1) {
            const gap = (v.X(means[k]) - x) ** 2 + (0.5 * (v.Y((weights[k] * PEAK) / scales[k]) - y)) ** 2;
            if (gap < least) [best, least] = [k, gap];
          }
          this.chosen = best;
        },
        move(x, top) {
          const { weights, means, scales } = this.theta;
          means[this.chosen] = x;
          scales[this.chosen] = clamp((weights[this.chosen] * PEAK) / Math.max(top, 1e-3), 0.08, 4);
          this.from(this.theta);
        },
        nudge(dx, factor) {
          const { means, scales } = this.theta;
          means[this.chosen] = clamp(means[this.chosen] + dx, D.LOW, D.HIGH);
          scales[this.chosen] = clamp(scales[this.chosen] * factor, 0.08, 4);
          this.from(this.theta);
        },
      },

      kernel: {
        rate: 8,
        h: (index) => 10 ** (-1.7 + (2.2 * index) / 60),
        reset() {
          this.seen = new Map();
          this.go(60);
        },
        go(index) {
          this.index = index;
          const h = this.h(index);
          if (!this.seen.has(index)) {
            const average = (x) => D.kernelLogProb(x, train.x, h).reduce((a, b) => a + b, 0) / x.length;
            this.seen.set(index, { t: index, train: average(train.x), held: average(held) });
          }
          this.places = Float64Array.from({ length: 481 }, (_, i) => D.LOW + i / 40);
          this.values = D.kernelLogProb(this.places, train.x, h).map(Math.exp);
          controls.showBandwidth(index);
        },
        step() {
          if (this.index === 0) return false;
          this.go(this.index - 1);
          return this.index > 0;
        },
        best() {
          let found = null;
          for (const s of this.seen.values()) if (!found || s.held > found.held) found = s;
          return found;
        },
        sentence() {
          const now = this.seen.get(this.index);
          const best = this.best();
          const tried = this.seen.size === 1 ? "the only width tried" : `of ${this.seen.size} widths tried`;
          const more = this.seen.size === 1 ? tried : best.t === now.t ? `the best on held-out data ${tried}` : `best on held-out data ${tried}: h = ${write(this.h(best.t))}`;
          return `Bandwidth h = ${write(this.h(this.index))}: ${score(now)}; ${more}.`;
        },
        main(c, W, h) {
          const v = density(c, W, h, reach(this.values.reduce((a, b) => Math.max(a, b), 0)));
          axes(v, { labels: h - 9, name: "density" });
          key(v, fitted());
          const width = this.h(this.index);
          const each = Math.min(state.size, 120);
          for (let i = 0; i < each; i += 1) {
            const x0 = train.x[i];
            curve(v, (x) => Math.exp(D.logGaussian(x, x0, width)) / state.size, {
              colour: mix(Lab.colour("model"), Lab.colour("paper"), 0.45), width: 1, points: 41,
              from: Math.max(D.LOW, x0 - 3.5 * width), to: Math.min(D.HIGH, x0 + 3.5 * width),
            });
          }
          truthOf(v);
          curve(v, (x) => this.values[clamp(Math.round((x - D.LOW) * 40), 0, 480)], { colour: "model", width: 3, fill: 0.12 });
          rug(v, train.x, "data", v.bottom + 6, v.bottom + BAND - 6);
          return v;
        },
        side(c, W, h) {
          const history = Array.from(this.seen.values()).sort((a, b) => a.t - b.t);
          const marks = [0.02, 0.1, 0.3, 1, 3].map((b) => [(Math.log10(b) + 1.7) / 2.2, b === 0.02 ? "h = 0.02" : String(b)]);
          scores(c, W, h, history, { position: (s) => s.t / 60, marks: marks.filter((m) => m[0] < 1), best: this.seen.get(this.index) });
        },
        model() {
          const values = this.values;
          return (x) => values[clamp(Math.round((x - D.LOW) * 40), 0, 480)];
        },
        called() { return `kernels, h = ${write(this.h(this.index))}`; },
        alt: () => "The data, the truth, and the average of the small Gaussians on the data.",
        sideAlt: "The log-likelihood against the bandwidth, on training and on held-out data.",
      },

      rejection: {
        rate: 250,
        reset() {
          this.target = target();
          this.cover = D.envelope(this.target, controls.roof(), controls.height());
          this.random = stream(4);
          this.thrown = 0;
          this.kept = 0;
          this.darts = [];
          if (this.counts && this.counts.some((n) => n > 5)) this.earlier = this.counts; // to be compared with
          this.counts = new Float64Array(BINS);
        },
        step() {
          const one = D.dart(this.target, this.cover, this.random);
          this.thrown += 1;
          this.darts[(this.thrown - 1) % 1500] = one;
          if (one.kept) {
            this.kept += 1;
            const b = Math.floor(((one.x - D.LOW) / (D.HIGH - D.LOW)) * BINS);
            if (b >= 0 && b < BINS) this.counts[b] += 1;
          }
          return this.thrown < LIMIT;
        },
        sentence() {
          const cut = this.cover.cut > 1e-9;
          const roof = cut
            ? ` The roof cuts off ${percent(this.cover.cut)} of the mass: the law is wrong.`
            : "";
          if (this.thrown === 0) return `No dart yet: M = ${write(this.cover.M)}, so about ${percent(this.cover.share)} of them should be kept.${roof}`;
          const expected = cut ? `expected ${percent(this.cover.share)}` : `expected 1/M = ${percent(this.cover.share)}`;
          const quality = this.kept > 0 ? `; ${percent(D.misplaced(this.counts, this.target))} of the histogram’s mass is out of place` : "";
          return `${plural(this.thrown, "dart")}, ${this.kept.toLocaleString("en-GB")} kept: acceptance rate ${percent(this.kept / this.thrown)}, ${expected}${quality}.${roof}`;
        },
        main(c, W, h) {
          let top = 0;
          for (let j = 0; j < D.CELLS; j += 1) top = Math.max(top, this.cover.roof(D.centre(j)));
          const v = density(c, W, h, 1.06 * Math.max(top, D.highest(this.target)));
          axes(v, { labels: h - 9, name: "density" });
          const own = state.source === "truth" ? ["truth", "truth"] : ["model", "model"];
          key(v, [own, ["roof M q(x)", "noise", [6, 4]]]);
          const newest = this.thrown ? (this.thrown - 1) % 1500 : -1;
          const size = this.thrown > 400 ? 1.6 : 2.6;
          const refused = mix(Lab.colour("noise"), Lab.colour("paper"), 0.75);
          for (const kept of [false, true]) {
            c.fillStyle = kept ? Lab.colour("model") : refused;
            c.strokeStyle = refused;
            c.lineWidth = 1.1;
            c.beginPath();
            for (const one of this.darts) {
              if (one.kept !== kept || one.x < D.LOW || one.x > D.HIGH) continue;
              const [x, y] = [v.X(one.x), v.Y(one.y)];
              if (kept) {
                c.moveTo(x + size, y);
                c.arc(x, y, size, 0, 7);
              } else {
                c.moveTo(x - size, y - size);
                c.lineTo(x + size, y + size);
                c.moveTo(x + size, y - size);
                c.lineTo(x - size, y + size);
              }
            }
            if (kept) c.fill();
            else c.stroke();
          }
          table(v, this.target, { colour: own[1], width: 2.5 });
          curve(v, this.cover.roof, { colour: "noise", width: 2, dash: [6, 4], from: D.LOW, to: D.HIGH - 1e-9 });
          if (newest >= 0) {
            const one = this.darts[newest];
            if (one.x >= D.LOW && one.x <= D.HIGH) {
              c.beginPath();
              c.arc(v.X(one.x), v.Y(one.y), 7, 0, 7);
              line(c, one.kept ? "model" : "noise", 2, () => c.arc(v.X(one.x), v.Y(one.y), 7, 0, 7));
              if (one.kept) {
                line(c, "model", 1.5, () => {
                  c.moveTo(v.X(one.x), v.Y(one.y) + 7);
                  c.lineTo(v.X(one.x), v.bottom + BAND - 6);
                });
              }
            }
          }
          const last = this.darts.filter((one) => one.kept && one.x >= D.LOW && one.x <= D.HIGH).map((one) => one.x);
          rug(v, last, "model", v.bottom + 6, v.bottom + BAND - 6);
          return v;
        },
        side(c, W, h) {
          const v = sampled(c, W, h, this.counts, this.target, "the kept darts");
          if (this.earlier) outline(v, this.earlier);
        },
        alt: () => "The density below a roof, and darts thrown evenly under the roof: those under the curve are kept.",
        sideAlt: "A histogram of the kept darts against the density.",
      },

      metropolis: {
        rate: 8,
        home: -2.5,
        reset() {
          this.target = target();
          this.random = stream(5);
          let x = this.home;
          if (D.density(this.target, x) === 0) {
            let gap = Infinity;
            for (let j = 0; j < D.CELLS; j += 1) {
              if (this.target.density[j] > 0 && Math.abs(D.centre(j) - this.home) < gap) {
                gap = Math.abs(D.centre(j) - this.home);
                x = D.centre(j);
              }
            }
          }
          this.x = x;
          this.last = null;
          this.before = x;
          this.steps = 0;
          this.moves = 0;
          this.chain = [];
          this.flags = [];
          this.refused = [];
          this.count();
        },
        count() {
          const kept = controls.repeats() ? this.chain : this.chain.filter((_, i) => this.flags[i]);
          this.counts = histogram(kept, BINS);
          this.worth = null;
        },
        step() {
          const result = D.metropolis(this.x, (x) => D.density(this.target, x), controls.width(), this.random);
          this.before = this.x;
          this.last = result;
          this.x = result.x;
          this.steps += 1;
          if (result.moved) this.moves += 1;
          this.chain.push(result.x);
          this.flags.push(result.moved);
          this.refused.push(result.proposal);
          if (result.moved || controls.repeats()) {
            const b = Math.floor(((result.x - D.LOW) / (D.HIGH - D.LOW)) * BINS);
            if (b >= 0 && b < BINS) this.counts[b] += 1;
          }
          return this.steps < LIMIT;
        },
        sentence() {
          if (this.steps === 0) return `The walker stands at x = ${write(this.x)}; Step proposes a move.`;
          if (!loop.playing && this.steps < 6 && this.last) {
            const to = `from ${write(this.before)} to ${write(this.last.proposal)}`;
            return this.last.moved
              ? `Step ${this.steps}: the move ${to} is accepted (its chance was ${percent(this.last.chance)}).`
              : `Step ${this.steps}: the move ${to} is refused (its chance was ${percent(this.last.chance)}), so ${write(this.x)} counts once more.`;
          }
          const worth = Math.round(D.worth(this.chain.slice(-3000)) * (this.chain.length / Math.min(this.chain.length, 3000)));
          const wrong = controls.repeats() ? "" : " Without the repeats the law is wrong.";
          // the chain's own estimate: it knows nothing of humps that it never met, and little from a short path
          const told = this.steps < 200 || wrong ? "" : `, worth about ${plural(worth, "independent draw")} of the places it has seen`;
          return `${plural(this.steps, "step")}, ${percent(this.moves / this.steps)} accepted${told}; ${percent(D.misplaced(this.counts, this.target))} of the histogram’s mass is out of place.${wrong}`;
        },
        main(c, W, h) {
          const counted = this.counts.reduce((a, b) => a + b, 0);
          const tallest = counted > 60 ? (this.counts.reduce((a, b) => Math.max(a, b), 0) / counted) * (BINS / (D.HIGH - D.LOW)) : 0;
          const v = density(c, W, h, 1.14 * Math.max(D.highest(this.target), Math.min(tallest, 1.6 * D.highest(this.target))));
          axes(v, { labels: h - 9, name: "density" });
          const own = state.source === "truth" ? ["truth", "truth"] : ["model", "model"];
          key(v, [own, ["proposals", "noise", [6, 4]], ["visited", "model"]]);
          bars(v, this.counts, "model", 0.38);
          const width = controls.width();
          const tall = 0.3 * v.high * width; // the bell of the proposals, at a height of its own
          curve(v, (x) => tall * Math.exp(D.logGaussian(x, this.before, width)) / PEAK, { colour: "noise", width: 1.5, dash: [6, 4] });
          table(v, this.target, { colour: own[1], width: 2.5 });
          const y = (x) => v.Y(D.density(this.target, x));
          const middle = v.bottom + BAND / 2;
          if (this.last) {
            const there = clamp(this.last.proposal, D.LOW, D.HIGH);
            line(c, this.last.moved ? "model" : "noise", 2, () => {
              c.moveTo(v.X(this.before), middle);
              c.lineTo(v.X(there), middle);
            }, this.last.moved ? [] : [4, 3]);
            if (!this.last.moved) {
              line(c, "noise", 2.5, () => {
                c.moveTo(v.X(there) - 5, middle - 5);
                c.lineTo(v.X(there) + 5, middle + 5);
                c.moveTo(v.X(there) + 5, middle - 5);
                c.lineTo(v.X(there) - 5, middle + 5);
              });
            } else {
              dot(c, v.X(this.before), middle, 4, "model", true);
            }
          }
          line(c, mix(Lab.colour("model"), Lab.colour("paper"), 0.6), 1, () => {
            c.moveTo(v.X(this.x), y(this.x));
            c.lineTo(v.X(this.x), middle);
          });
          dot(c, v.X(this.x), y(this.x), 7, "model");
          dot(c, v.X(this.x), middle, 6, "model");
          return v;
        },
        side(c, W, h) {
          const v = plot(c, W, h, { top: 26, bottom: h - 6, high: 1 });
          words(c, W < 480 ? "path, newest on top" : "the path of the walker, newest state on top", LEFT, v.top - 10);
          key(v, [["refused", "noise"], ["walker", "model"]]);
          const pitch = this.steps > 60 ? 2 : 5;
          const rows = Math.floor((v.bottom - v.top) / pitch);
          const first = Math.max(0, this.steps - rows);
          const at = (i) => v.top + (this.steps - 1 - i) * pitch;
          for (let x = D.LOW; x <= D.HIGH; x += 2) {
            line(c, "rule", 1, () => {
              c.moveTo(Math.round(v.X(x)) + 0.5, v.top - 2);
              c.lineTo(Math.round(v.X(x)) + 0.5, v.bottom);
            });
          }
          if (!this.steps) return;
          c.fillStyle = mix(Lab.colour("noise"), Lab.colour("paper"), 0.8);
          for (let i = first; i < this.steps; i += 1) {
            if (!this.flags[i] && Math.abs(this.refused[i]) < D.HIGH) c.fillRect(v.X(this.refused[i]) - 1.5, at(i) - 1, 3, 2.4);
          }
          line(c, "model", 1.6, () => {
            for (let i = first; i < this.steps; i += 1) {
              if (i === first) c.moveTo(v.X(this.chain[i]), at(i));
              else c.lineTo(v.X(this.chain[i]), at(i));
            }
          });
          if (pitch > 3) for (let i = first; i < this.steps; i += 1) dot(c, v.X(this.chain[i]), at(i), 3, "model", !this.flags[i]);
          dot(c, v.X(this.x), v.top, 5, "model");
        },
        alt: () => "The density, the histogram of the visited states, the walker and its last proposal.",
        sideAlt: "The path of the walker, newest state on top; refused proposals in grey.",
        grab: "walker",
        move(x) {
          this.home = x;
          this.reset();
        },
        nudge(dx) {
          this.home = clamp(this.x + dx, D.LOW, D.HIGH - 1e-9);
          this.reset();
        },
      },
    };

    function fitted() {
      return state.showTruth ? [["data", "data"], ["truth", "truth"], ["model", "model"]] : [["data", "data"], ["model", "model"]];
    }

    /** The outline of an earlier histogram. */
    function outline(v, counts) {
      const total = counts.reduce((a, b) => a + b, 0);
      const width = (D.HIGH - D.LOW) / counts.length;
      line(v.c, "noise", 1.2, () => {
        counts.forEach((n, b) => {
          const y = Math.max(v.Y(n / total / width), v.top);
          if (b === 0) v.c.moveTo(v.X(D.LOW), y);
          else v.c.lineTo(v.X(D.LOW + b * width), y);
          v.c.lineTo(v.X(D.LOW + (b + 1) * width), y);
        });
      }, [3, 2]);
    }

    /** A histogram of samples against the density they should have. */
    function sampled(c, W, h, counts, q, name) {
      const v = plot(c, W, h, { top: 26, bottom: h - 22, high: 1.3 * D.highest(q) });
      axes(v, { labels: h - 9, count: 2, name: "density" });
      key(v, [[name, "model"], state.source === "truth" ? ["truth", "truth"] : ["model", "model"]]);
      bars(v, counts, "model", 0.5);
      table(v, q, { colour: state.source === "truth" ? "truth" : "model", width: 2 });
      return v;
    }

    /** What is sampled: the drawn density, or the fitted model on the same cells. */
    function target() {
      if (state.source === "truth") return p;
      const fit = machines[state.method];
      if (fit.stale) {
        fit.stale = false;
        fit.reset();
      }
      try {
        return D.normalise(D.heights(fit.model()));
      } catch (error) {
        if (error instanceof RangeError) return p; // a model with no mass from LOW to HIGH
        throw error;
      }
    }

    /* ---- the furniture ---------------------------------------------------------------------------------- */
    const caret = { x: 0, visible: false };
    let touched = false; // has the reader drawn yet?
    const stages = [["draw", "1 Draw"], ["fit", "2 Fit"], ["sample", "3 Sample"]];
    Lab.segments(root, { label: "Stage", options: stages, value: "draw", onChange: enter });
    const { picture, panel } = Lab.columns(root);

    const methods = [["gaussian", "Gaussian"], ["mixture", "Mixture, EM"], ["kernel", "Kernels"]];
    const samplers = [["rejection", "Rejection"], ["metropolis", "Metropolis"]];
    const choose = (part, stage) => (to) => {
      state[part] = to;
      enter(stage);
    };
    const ways = {
      fit: Lab.segments(picture, { label: "Method", options: methods, value: "mixture", onChange: choose("method", "fit") }),
      sample: Lab.segments(picture, {
        label: "Sampler", options: samplers, value: "rejection", onChange: choose("sampler", "sample"),
      }),
    };
    const large = window.innerWidth >= 860;
    let plotted = null; // the plot of the main canvas: where a pointer is, in x and density
    const view = Lab.canvas(picture, {
      label: "The density",
      width: 720,
      height: large ? 310 : 276,
      keepHeight: true,
      focusable: true,
      draw: (c, W, h) => {
        plotted = machine().main(c, W, h);
      },
    });
    const aside = Lab.canvas(picture, {
      label: "",
      width: 720,
      height: large ? 160 : 150,
      keepHeight: true,
      draw: (c, W, h) => machine().side(c, W, h),
    });

    let pending = 0;
    function redraw() {
      if (!pending) {
        pending = requestAnimationFrame(() => {
          pending = 0;
          view.redraw();
          aside.redraw();
        });
      }
    }

    let talk = 0;
    function tell(words_) {
      if (words_) {
        clearTimeout(talk); // what the reader just did is said, not the general sentence
        talk = 0;
        Lab.say(words_);
      } else if (!talk) {
        /* a sentence costs more than a step, and one a second is said */
        talk = setTimeout(() => {
          talk = 0;
          Lab.say(machine().sentence());
        }, loop.playing ? 250 : 0);
      }
    }

    function show() {
      redraw();
      tell();
      buttons.step.textContent =
        machine() === machines.mixture ? `${machines.mixture.phase}-step` : machine() === machines.kernel ? "Narrower" : "Step";
    }

    const bar = Lab.row(picture);
    const loop = Lab.loop(
      () => {
        const more = machine().step();
        show();
        return more;
      },
      { rate: 4, autoplay: false },
    );
    const buttons = Lab.transport(bar, loop, {
      onReset: () => {
        loop.pause();
        machine().reset();
        show();
      },
    });
    buttons.play.addEventListener("click", () => {
      /* at the end, Play begins anew */
      if (!loop.playing) return;
      if (machine() === machines.kernel && machines.kernel.index === 0) machines.kernel.go(60);
    });
    loop.listen(() => tell());

    const common = Lab.group(panel, "Run");
    const speed = Lab.slider(common, {
      label: "Speed",
      min: 0,
      max: RATES.length - 1,
      value: 2,
      format: (i) => (RATES[i] === 1 ? "1 step a second" : `${RATES[i]} steps a second`),
      onInput: (i) => {
        machine().rate = RATES[i];
        loop.rate = RATES[i];
      },
    });

    /* one panel for each machine */
    const panels = {};
    for (const name of Object.keys(machines)) {
      panels[name] = Lab.predict(panel, QUESTIONS[name]);
    }
    const hint = Lab.hint(picture, "", view);

    const settings = {};
    for (const [name, title] of [["draw", "Your density"], ["gaussian", "Gradient ascent"], ["mixture", "Mixture"], ["kernel", "Kernels"], ["rejection", "Roof"], ["metropolis", "Walker"]]) {
      const row = Lab.group(panel, title);
      settings[name] = row;
    }

    const preset = Lab.choice(settings.draw, {
      label: "Begin with",
      options: [...Object.keys(D.PRESETS), { value: "own", label: "your own" }],
      value: "three humps",
      onChange: (name) => {
        if (name === "own") return;
        raw = scaled(name);
        redrawn(`The ${name}.`);
      },
    });
    Lab.button(settings.draw, "Smooth", () => {
      smooth(0, D.CELLS - 1, 12);
      redrawn();
    });
    Lab.button(settings.draw, "Flat", () => {
      raw.fill(0.3);
      redrawn();
    });

    const learning = Lab.slider(settings.gaussian, {
      label: "Learning rate η", min: 0, max: 20, value: 14,
      format: (i) => write(0.02 * 100 ** (i / 20), i < 10 ? 3 : 2), onInput: () => {},
    });
    Lab.button(settings.gaussian, "Closed form", () => {
      loop.pause();
      machines.gaussian.jump();
      show();
    });

    const restart = () => {
      loop.pause();
      machine().reset();
      show();
    };
    const K = Lab.slider(settings.mixture, { label: "Components K", min: 1, max: 6, value: 3, onInput: restart });
    const start = Lab.choice(settings.mixture, {
      label: "Begin",
      options: [{ value: "side by side", label: "side by side" }, { value: "on data", label: "on data points (k-means++)" }, { value: "one place", label: "all in one place" }],
      value: "side by side",
      onChange: restart,
    });

    const bandwidth = Lab.slider(settings.kernel, {
      label: "Bandwidth h", min: 0, max: 60, value: 60, format: (i) => write(machines.kernel.h(i), i < 20 ? 3 : 2),
      onInput: (i) => {
        loop.pause();
        machines.kernel.go(i);
        show();
      },
    });
    Lab.button(settings.kernel, "Silverman’s rule", () => {
      loop.pause();
      const h = D.silverman(train.x);
      machines.kernel.go(clamp(Math.round(((Math.log10(h) + 1.7) * 60) / 2.2), 0, 60));
      show();
    });

    const sources = {};
    for (const name of ["rejection", "metropolis"]) {
      sources[name] = Lab.choice(settings[name], {
        label: "Sample from",
        options: [{ value: "truth", label: "the density you drew" }, { value: "model", label: "the fitted model" }],
        value: "truth",
        onChange: (value) => {
          state.source = value;
          for (const other of ["rejection", "metropolis"]) {
            sources[other].value = value;
            machines[other].stale = true;
          }
          loop.pause();
          ready();
          show();
        },
      });
    }
    const roof = Lab.choice(settings.rejection, {
      label: "Shape q(x)",
      options: [{ value: "flat", label: "flat" }, { value: "Gaussian", label: "Gaussian" }],
      value: "flat",
      onChange: restart,
    });
    const height = Lab.slider(settings.rejection, {
      label: "Height of the roof", min: 0.4, max: 3, step: 0.1, value: 1,
      format: (v) => (v === 1 ? "just high enough" : `${write(v, 1)} × that`), onInput: restart,
    });
    const width = Lab.slider(settings.metropolis, {
      label: "Width of the proposals", min: 0, max: 30, value: 13,
      format: (i) => write(0.05 * 2000 ** (i / 30)), onInput: () => show(),
    });
    const repeats = Lab.toggle(settings.metropolis, {
      label: "A refusal counts the state once more", value: true,
      onChange: () => {
        machines.metropolis.count();
        show();
      },
    });

    const controls = {
      rate: () => 0.02 * 100 ** (learning.value / 20),
      K: () => K.value,
      start: () => start.value,
      showBandwidth: (i) => { bandwidth.value = i; },
      roof: () => roof.value,
      height: () => height.value,
      width: () => 0.05 * 2000 ** (width.value / 30),
      repeats: () => repeats.value,
    };

    const size = Lab.slider(common, {
      label: "Points N", min: 0, max: SIZES.length - 1, value: SIZES.indexOf(state.size), format: (i) => String(SIZES[i]),
      onInput: (i) => {
        state.size = SIZES[i];
        loop.pause();
        changed();
        show();
      },
    });
    const seed = Lab.slider(common, {
      label: "Seed", min: 1, max: 30, value: 1,
      onInput: (v) => {
        state.seed = v;
        loop.pause();
        changed();
        show();
      },
    });
    const truth = Lab.toggle(common, {
      label: "Show the truth", value: true,
      onChange: (on) => {
        state.showTruth = on;
        redraw();
      },
    });
    panel.appendChild(common.parentElement);

    function enter(stage) {
      state.stage = stage;
      loop.pause();
      caret.visible = false;
      ready();
      const now = machine();
      const name = Object.keys(machines).find((key_) => machines[key_] === now);
      for (const key_ of Object.keys(machines)) {
        panels[key_].hidden = key_ !== name;
        settings[key_].parentElement.hidden = key_ !== name;
      }
      ways.fit.element.hidden = stage !== "fit";
      ways.sample.element.hidden = stage !== "sample";
      size.element.hidden = stage === "sample";
      truth.element.hidden = stage !== "fit";
      hint.textContent = HINTS[name];
      sources.rejection.input.options[1].textContent = sources.metropolis.input.options[1].textContent =
        `the fitted model (${machines[state.method].stale ? "not fitted yet" : machines[state.method].called()})`;
      view.describe(now.alt());
      aside.describe(now.sideAlt);
      view.element.tabIndex = now.grab ? 0 : -1;
      view.element.setAttribute("role", now.grab ? "application" : "img");
      view.element.style.touchAction = now.grab ? "none" : "pan-y";
      speed.value = RATES.indexOf(now.rate);
      loop.rate = now.rate;
      show();
    }

    /* ---- drawing by hand and by key ---------------------------------------------------------------------- */
    function smooth(from, to, times) {
      for (let t = 0; t < times; t += 1) {
        const old = raw.slice();
        for (let j = Math.max(from, 0); j <= Math.min(to, D.CELLS - 1); j += 1) {
          raw[j] = (old[Math.max(j - 1, 0)] + 2 * old[j] + old[Math.min(j + 1, D.CELLS - 1)]) / 4;
        }
      }
    }

    let good = raw.slice(); // the last curve that had an area
    function redrawn(words_) {
      let area = 0;
      for (const v of raw) area += v;
      if (area < 0.05) {
        raw.set(good);
        changed();
        redraw();
        tell("Something must be left under the curve: its area is to be 1.");
        return;
      }
      good.set(raw);
      touched = touched || !words_;
      if (!words_) preset.value = "own";
      loop.pause();
      changed();
      view.describe(machine().alt());
      show();
    }

    let stroke = null; // the last point of the stroke, and the cells it has touched
    function pull(x, y) {
      const j = clamp(Math.floor((plotted.x(x) - D.LOW) / p.width), 0, D.CELLS - 1);
      const tall = clamp((plotted.bottom - y) / (plotted.bottom - plotted.top), 0, 1);
      const last = stroke.j === null ? { j, tall } : stroke;
      const [a, b] = [Math.min(last.j, j), Math.max(last.j, j)];
      for (let i = a; i <= b; i += 1) {
        const share = j === last.j ? 1 : (i - last.j) / (j - last.j);
        raw[i] = last.tall + share * (tall - last.tall);
      }
      Object.assign(stroke, { j, tall, from: Math.min(stroke.from, a), to: Math.max(stroke.to, b) });
    }

    function grip({ x, y }, began) {
      const now = machine();
      if (!now.grab || !plotted) return;
      caret.visible = false;
      if (now.grab === "density") {
        if (began) stroke = { j: null, tall: 0, from: D.CELLS, to: 0 };
        if (!stroke) return;
        pull(x, y);
        redrawn();
        return;
      }
      loop.pause();
      if (began && now.nearest) now.nearest(plotted, x, y);
      now.move(clamp(plotted.x(x), D.LOW, D.HIGH - 1e-9), plotted.y(Math.min(y, plotted.bottom - 1)));
      show();
    }
    Lab.pointer(view, {
      down: (at) => grip(at, true),
      move: (at) => grip(at, false),
      up: () => {
        if (!stroke) return;
        if (stroke.to - stroke.from < 3) {
          /* a touch without a stroke: a small hump there */
          for (let j = stroke.j - 6; j <= stroke.j + 6; j += 1) {
            if (j < 0 || j >= D.CELLS) continue;
            const share = Math.exp(-0.5 * ((j - stroke.j) / 2.5) ** 2);
            raw[j] += share * (stroke.tall - raw[j]);
          }
        } else {
          smooth(stroke.from - 3, stroke.to + 3, 4);
        }
        stroke = null;
        redrawn();
      },
    });

    view.element.addEventListener("keydown", (event) => {
      const now = machine();
      if (!now.grab || event.ctrlKey || event.altKey || event.metaKey) return;
      const dx = { ArrowLeft: -1, ArrowRight: 1 }[event.key] || 0;
      const dy = { ArrowUp: 1, ArrowDown: -1, PageUp: 4, PageDown: -4 }[event.key] || 0;
      const digit = now === machines.mixture && /^[1-6]$/.test(event.key) ? Number(event.key) : 0;
      if (!dx && !dy && !digit && event.key !== "Home" && event.key !== "End") return;
      event.preventDefault();
      caret.visible = true;
      if (now.grab === "density") {
        if (event.key === "Home") caret.x = D.LOW + 0.1;
        else if (event.key === "End") caret.x = D.HIGH - 0.1;
        else caret.x = clamp(caret.x + 0.2 * dx, D.LOW + 0.1, D.HIGH - 0.1);
        if (dy) {
          const wide = event.shiftKey ? 0.12 : 0.4;
          for (let j = 0; j < D.CELLS; j += 1) {
            raw[j] = clamp(raw[j] + 0.05 * dy * Math.exp(-0.5 * ((D.centre(j) - caret.x) / wide) ** 2), 0, 1);
          }
          redrawn();
        }
        redraw();
        tell(`At x = ${write(caret.x, 1)} the density is ${write(D.density(p, caret.x))}.`);
        return;
      }
      loop.pause();
      if (digit) now.chosen = Math.min(digit, now.theta.means.length) - 1;
      else now.nudge((event.shiftKey ? 0.02 : 0.1) * dx, 0.95 ** dy);
      show();
    });
    view.element.addEventListener("blur", () => {
      caret.visible = false;
      redraw();
    });

    changed();
    enter("draw");

    /* the sentence stands below the picture that it is about */
    picture.insertBefore(document.getElementById("result"), hint);

    /** What the page holds now, for the tests: it is read there, never written. */
    D.page = {
      get density() { return p.density; },
      get data() { return train.x; },
      get machine() { return machine(); },
      get caret() { return caret.x; },
      get plot() { return plotted; },
    };
  }

  Lab.start(main);
})();
