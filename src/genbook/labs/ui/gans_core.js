"use strict";
/* The numerical core of the lab on GANs: two small players in the plane, their losses, and exact gradients.
 *
 * No page and no network library: typed arrays only, so that it can be read from top to bottom and checked against
 * PyTorch (tests/labs/test_gans_lab.py compares losses and gradients with genbook.models.gan.GAN). A batch of n
 * points with k numbers each is a Float64Array of n·k, one point after another. A weight is stored as PyTorch
 * stores it, outputs × inputs.
 *
 * Why the penalty on the slope costs so little. Between the kinks of LeakyReLU the critic is linear in its waves,
 * f(x) = w·(weights)·φ(x) + constant. For the slope g = ∇f(x), the penalty ½|g|² has by its weights the gradient of
 * g·∇f(x), where the factor g is held fixed: that of the derivative of f along g. The derivative along g is carried
 * forwards through the layers beside the values (the kinks are held: their second derivative is 0), and the vector
 * carried backwards is the same as for f itself. So with u the backward vectors, h the values, t the carried
 * derivatives, c the loss's derivative by the logit and λ the penalty's weight, each weight's gradient is
 * Σ u (c h + λ t)ᵀ: one product for loss and penalty together. Biases do not enter t, nor move the slope.
 */
const GansCore = (() => {
  // ---- products of matrices ---------------------------------------------------------------------------------
  /** out[i, j] = Σ_k a[i, k] b[j, k] for i < n, j < m: two rows times four at once, to keep sums in registers. */
  function multiply(a, b, out, n, m, depth) {
    let i = 0;
    for (; i + 1 < n; i += 2) {
      const p = i * depth, q = p + depth;
      let j = 0;
      for (; j + 3 < m; j += 4) {
        const r = j * depth, s = r + depth, t = s + depth, u = t + depth;
        let c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
        for (let k = 0; k < depth; k++) {
          const x = a[p + k], y = a[q + k], e = b[r + k], f = b[s + k], g = b[t + k], h = b[u + k];
          c0 += x * e; c1 += x * f; c2 += x * g; c3 += x * h;
          d0 += y * e; d1 += y * f; d2 += y * g; d3 += y * h;
        }
        const at = i * m + j, below = at + m;
        out[at] = c0; out[at + 1] = c1; out[at + 2] = c2; out[at + 3] = c3;
        out[below] = d0; out[below + 1] = d1; out[below + 2] = d2; out[below + 3] = d3;
      }
      for (; j < m; j++) {
        const r = j * depth;
        let c = 0, d = 0;
        for (let k = 0; k < depth; k++) { c += a[p + k] * b[r + k]; d += a[q + k] * b[r + k]; }
        out[i * m + j] = c; out[(i + 1) * m + j] = d;
      }
    }
    for (; i < n; i++) {
      for (let j = 0; j < m; j++) {
        let c = 0;
        for (let k = 0; k < depth; k++) c += a[i * depth + k] * b[j * depth + k];
        out[i * m + j] = c;
      }
    }
    return out;
  }

  function transpose(a, out, rows, columns) {
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = a[i * columns + j];
    return out;
  }

  /** Arrays that are made once for each size and used again in every step. */
  function memory() {
    const kept = new Map();
    return (name, size) => {
      let array = kept.get(name);
      if (!array || array.length < size) kept.set(name, (array = new Float64Array(size)));
      return array;
    };
  }

  // ---- networks ---------------------------------------------------------------------------------------------
  /** Linear layers with max(h, slope·h) between each two; weights drawn as PyTorch's nn.Linear draws them. */
  function network(sizes, slope, random) {
    const layers = [];
    for (let l = 0; l + 1 < sizes.length; l++) {
      const bound = 1 / Math.sqrt(sizes[l]);
      const draw = () => bound * (2 * random.uniform() - 1);
      layers.push({
        inputs: sizes[l],
        outputs: sizes[l + 1],
        weight: Float64Array.from({ length: sizes[l] * sizes[l + 1] }, draw),
        bias: Float64Array.from({ length: sizes[l + 1] }, draw),
      });
    }
    for (const layer of layers) {
      layer.turned = new Float64Array(layer.weight.length);
      layer.weightGradient = new Float64Array(layer.weight.length);
      layer.biasGradient = new Float64Array(layer.outputs);
    }
    return { layers, slope, space: memory() };
  }

  /** Values of all layers: values[0] is the input, values[l + 1] what layer l gives after its kink. */
  function forward(net, input, n) {
    const values = [input];
    net.layers.forEach((layer, l) => {
      const out = multiply(values[l], layer.weight, net.space(`value ${l}`, n * layer.outputs), n, layer.outputs, layer.inputs);
      const last = l === net.layers.length - 1;
      for (let i = 0, at = 0; i < n; i++) {
        for (let j = 0; j < layer.outputs; j++, at++) {
          const h = out[at] + layer.bias[j];
          out[at] = last || h > 0 ? h : net.slope * h;
        }
      }
      values.push(out);
    });
    return values;
  }

  /** Vectors of all layers, back from `output` (n × outputs); vectors[0] is the gradient by the input. */
  function backward(net, values, output, n) {
    const vectors = new Array(net.layers.length + 1);
    vectors[net.layers.length] = output;
    for (let l = net.layers.length - 1; l >= 0; l--) {
      const layer = net.layers[l];
      transpose(layer.weight, layer.turned, layer.outputs, layer.inputs);
      const out = multiply(vectors[l + 1], layer.turned, net.space(`vector ${l}`, n * layer.inputs), n, layer.inputs, layer.outputs);
      if (l > 0) kink(net, values[l], out, n * layer.inputs);
      vectors[l] = out;
    }
    return vectors;
  }

  /** Multiply by the slope at each kink; the sign of the value after it is the sign before. */
  function kink(net, value, vector, size) {
    for (let at = 0; at < size; at++) if (!(value[at] > 0)) vector[at] *= net.slope;
  }

  /** Derivatives of all layers' values along the direction `input` of their input. */
  function carry(net, values, input, n) {
    const carried = [input];
    for (let l = 0; l + 1 < net.layers.length; l++) {
      const layer = net.layers[l];
      const out = multiply(carried[l], layer.weight, net.space(`carried ${l}`, n * layer.outputs), n, layer.outputs, layer.inputs);
      kink(net, values[l + 1], out, n * layer.outputs);
      carried.push(out);
    }
    return carried;
  }

  /** Write Σ_i vectors ⊗ values to the weights' gradients and Σ_i scale_i · vectors to the biases'. */
  function collect(net, vectors, values, scale, n) {
    net.layers.forEach((layer, l) => {
      const u = transpose(vectors[l + 1], net.space(`u ${l}`, n * layer.outputs), n, layer.outputs);
      const v = transpose(values[l], net.space(`v ${l}`, n * layer.inputs), n, layer.inputs);
      multiply(u, v, layer.weightGradient, layer.outputs, layer.inputs, n);
      for (let j = 0; j < layer.outputs; j++) {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += scale ? scale[i] * u[j * n + i] : u[j * n + i];
        layer.biasGradient[j] = sum;
      }
    });
  }

  // ---- Fourier features ---------------------------------------------------------------------------------------
  /** Points beside the sines and cosines of `waves` fixed random directions, as genbook.nn.fourier writes them. */
  function fourier(waves, scale, random) {
    return { waves, outputs: 2 + 2 * waves, frequencies: Float64Array.from({ length: 2 * waves }, () => scale * random.normal()) };
  }

  function features(f, points, n, out) {
    const { waves, outputs, frequencies } = f;
    for (let i = 0; i < n; i++) {
      const x = points[2 * i], y = points[2 * i + 1], at = i * outputs;
      out[at] = x;
      out[at + 1] = y;
      for (let k = 0; k < waves; k++) {
        const phase = x * frequencies[k] + y * frequencies[waves + k];
        out[at + 2 + k] = Math.sin(phase);
        out[at + 2 + waves + k] = Math.cos(phase);
      }
    }
    return out;
  }

  /** The transpose of the features' derivative, times the vector of each point: n × 2. */
  function pullBack(f, phi, vector, n, out) {
    const { waves, outputs, frequencies } = f;
    for (let i = 0; i < n; i++) {
      const at = i * outputs, sine = at + 2, cosine = sine + waves;
      let x = vector[at], y = vector[at + 1];
      for (let k = 0; k < waves; k++) {
        const s = phi[cosine + k] * vector[sine + k] - phi[sine + k] * vector[cosine + k];
        x += s * frequencies[k];
        y += s * frequencies[waves + k];
      }
      out[2 * i] = x;
      out[2 * i + 1] = y;
    }
    return out;
  }

  /** The features' derivative times the direction of each point: n × outputs. */
  function pushForward(f, phi, direction, n, out) {
    const { waves, outputs, frequencies } = f;
    for (let i = 0; i < n; i++) {
      const at = i * outputs, sine = at + 2, cosine = sine + waves, x = direction[2 * i], y = direction[2 * i + 1];
      out[at] = x;
      out[at + 1] = y;
      for (let k = 0; k < waves; k++) {
        const phase = x * frequencies[k] + y * frequencies[waves + k];
        out[sine + k] = phi[cosine + k] * phase;
        out[cosine + k] = -phi[sine + k] * phase;
      }
    }
    return out;
  }

  // ---- the game -----------------------------------------------------------------------------------------------
  const softplus = (x) => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));
  const sigmoid = (x) => (x > 0 ? 1 / (1 + Math.exp(-x)) : 1 - 1 / (1 + Math.exp(x)));

  /** Two players drawn from a random source: { generator, critic, waves }; sizes as the lab uses them. */
  function players(random, { width = 64, depth = 3, criticWidth = 64, waves = 32, scale = 8, latent = 2 } = {}) {
    const generator = network([latent, ...Array(depth).fill(width), 2], 0, random);
    const seen = fourier(waves, scale, random);
    const critic = network([seen.outputs, criticWidth, criticWidth, 1], 0.2, random);
    return { generator, critic, waves: seen, latent };
  }

  function generate(game, noise, n) {
    return forward(game.generator, noise, n)[game.generator.layers.length].subarray(0, 2 * n);
  }

  /** The critic's values and backward vectors at points: { phi, values, vectors, logits, slope }. */
  function look(game, points, n) {
    const { critic, waves } = game;
    const phi = features(waves, points, n, critic.space("phi", n * waves.outputs));
    const values = forward(critic, phi, n);
    const vectors = backward(critic, values, critic.space("ones", n).fill(1, 0, n), n);
    const slope = pullBack(waves, phi, vectors[0], n, critic.space("slope", 2 * n));
    return { phi, values, vectors, logits: values[critic.layers.length], slope };
  }

  /** The critic's logits alone at points whose features are given. */
  function logitsOf(game, phi, n) {
    return forward(game.critic, phi, n)[game.critic.layers.length];
  }

  /** The critic's loss on n real and n generated points, with weight · (R1 + R2); fills the critic's gradients. */
  function criticLoss(game, real, fake, n, weight) {
    const { critic, waves } = game, both = critic.space("both", 4 * n);
    both.set(real.subarray(0, 2 * n));
    both.set(fake.subarray(0, 2 * n), 2 * n);
    const seen = look(game, both, 2 * n), scale = critic.space("scale", 2 * n);
    let loss = 0, penalty = 0;
    for (let i = 0; i < 2 * n; i++) {
      const f = seen.logits[i];
      loss += softplus(i < n ? -f : f) / n;
      scale[i] = (i < n ? -sigmoid(-f) : sigmoid(f)) / n;
      penalty += (seen.slope[2 * i] ** 2 + seen.slope[2 * i + 1] ** 2) / (2 * n);
    }
    const mixed = critic.layers.map((layer, l) => {
      const out = critic.space(`mixed ${l}`, 2 * n * layer.inputs), h = seen.values[l];
      for (let i = 0, at = 0; i < 2 * n; i++) for (let j = 0; j < layer.inputs; j++, at++) out[at] = scale[i] * h[at];
      return out;
    });
    if (weight > 0) {
      const pushed = pushForward(waves, seen.phi, seen.slope, 2 * n, critic.space("pushed", 2 * n * waves.outputs));
      const carried = carry(critic, seen.values, pushed, 2 * n), share = weight / n;
      carried.forEach((t, l) => {
        const out = mixed[l], size = 2 * n * critic.layers[l].inputs;
        for (let at = 0; at < size; at++) out[at] += share * t[at];
      });
    }
    collect(critic, seen.vectors, mixed, scale, 2 * n);
    return { loss: loss + weight * penalty, game: loss, penalty };
  }

  /** The generator's non-saturating loss at noise (n × latent); fills the generator's gradients, not the critic's. */
  function generatorLoss(game, noise, n) {
    const { generator } = game, values = forward(generator, noise, n);
    const seen = look(game, values[generator.layers.length], n), output = generator.space("output", 2 * n);
    let loss = 0;
    for (let i = 0; i < n; i++) {
      loss += softplus(-seen.logits[i]) / n;
      const c = -sigmoid(-seen.logits[i]) / n;
      output[2 * i] = c * seen.slope[2 * i];
      output[2 * i + 1] = c * seen.slope[2 * i + 1];
    }
    collect(generator, backward(generator, values, output, n), values, null, n);
    return loss;
  }

  /** Adam without momentum, β = (0, 0.99), as genbook.train.two_player_adam. */
  function adam(net, rate) {
    net.steps = (net.steps || 0) + 1;
    const correction = 1 - 0.99 ** net.steps;
    for (const layer of net.layers) {
      for (const name of ["weight", "bias"]) {
        const value = layer[name], gradient = layer[`${name}Gradient`];
        const square = layer[`${name}Square`] || (layer[`${name}Square`] = new Float64Array(value.length));
        for (let k = 0; k < value.length; k++) {
          const g = gradient[k];
          square[k] = 0.99 * square[k] + 0.01 * g * g;
          value[k] -= (rate * g) / (Math.sqrt(square[k] / correction) + 1e-8);
        }
      }
    }
  }

  /** One step of the critic and one of the generator; returns both losses. */
  function step(game, target, random, { batch = 64, rate = 3e-3, weight = 0.07 } = {}) {
    const real = game.critic.space("real", 2 * batch), noise = game.generator.space("noise", game.latent * batch);
    for (let i = 0; i < batch; i++) target.draw(random, real, 2 * i);
    drawNoise(random, noise, game.latent * batch);
    const critic = criticLoss(game, real, generate(game, noise, batch), batch, weight);
    adam(game.critic, rate);
    drawNoise(random, noise, game.latent * batch);
    const generator = generatorLoss(game, noise, batch);
    adam(game.generator, rate);
    return { critic: critic.loss, game: critic.game, penalty: critic.penalty, generator };
  }

  function drawNoise(random, out, size) {
    for (let i = 0; i < size; i++) out[i] = random.normal();
    return out;
  }

  // ---- targets and what a generator reached of them ------------------------------------------------------------
  /** Round Gaussians, equally likely, of standard deviation `scale`; `centres` are pairs of numbers. */
  function blobs(centres, scale) {
    const means = Float64Array.from(centres.flat()), modes = centres.length;
    return {
      means, modes, scale,
      draw(random, out, at) {
        const k = 2 * Math.min(modes - 1, Math.floor(modes * random.uniform()));
        out[at] = means[k] + scale * random.normal();
        out[at + 1] = means[k + 1] + scale * random.normal();
      },
    };
  }

  const ring = () => blobs(Array.from({ length: 8 }, (_, k) => [2 * Math.cos((Math.PI * k) / 4), 2 * Math.sin((Math.PI * k) / 4)]), 0.1);

  const grid = () => blobs(Array.from({ length: 9 }, (_, k) => [1.7 * ((k % 3) - 1), 1.7 * (Math.floor(k / 3) - 1)]), 0.1);

  /** Two half circles of radius 1.5 that interlock; its "modes" are six equal arcs of each. */
  function moons() {
    const place = (arc, angle, radius) => {
      const x = radius * Math.cos(angle) - 0.75, y = radius * Math.sin(angle) - 0.375;
      return arc ? [-x, -y] : [x, y];
    };
    const centres = Array.from({ length: 12 }, (_, k) => place(k >= 6, (Math.PI * ((k % 6) + 0.5)) / 6, 1.5));
    return {
      means: Float64Array.from(centres.flat()), modes: 12, scale: 0.15,
      draw(random, out, at) {
        const upper = random.uniform() < 0.5, angle = Math.PI * random.uniform();
        [out[at], out[at + 1]] = place(!upper, angle, 1.5 + 0.1 * random.normal());
      },
    };
  }

  /** genbook.evaluate.modes.mode_coverage for points in the plane: { covered, near, weights }. */
  function modeCoverage(points, n, means, scale, radius = 3) {
    const modes = means.length / 2, counts = new Float64Array(modes);
    for (let i = 0; i < n; i++) {
      let best = Infinity, mode = 0;
      for (let k = 0; k < modes; k++) {
        const square = (points[2 * i] - means[2 * k]) ** 2 + (points[2 * i + 1] - means[2 * k + 1]) ** 2;
        if (square < best) { best = square; mode = k; }
      }
      if (best <= (radius * scale) ** 2) counts[mode]++;
    }
    const total = counts.reduce((a, b) => a + b, 0);
    return {
      covered: counts.reduce((sum, count) => sum + (count >= (0.25 * n) / modes ? 1 : 0), 0),
      near: n ? total / n : 0,
      weights: Array.from(counts, (count) => count / Math.max(total, 1)),
    };
  }

  return {
    multiply, network, forward, backward, fourier, features, players, generate, look, logitsOf, criticLoss, generatorLoss,
    adam, step, drawNoise, blobs, ring, grid, moons, modeCoverage,
  };
})();
