"use strict";
/* The numerical core of the lab on restricted Boltzmann machines: both layers' inputs, the free energy, block Gibbs.
 *
 * No page and no network library: typed arrays only, so that it can be read from top to bottom and checked against
 * PyTorch (tests/labs/test_rbms_lab.py compares every function with genbook.models.rbm.RBM and, for a machine of a few
 * units, with the sum over all its states). Symbols are the chapter's: visible biases a, hidden biases b, weights W,
 * stored as PyTorch stores them, visible × hidden; one matrix serves both directions.
 *
 * At temperature T the law is that of the machine whose weights and biases are divided by T: p(v, h)^(1/T), brought
 * back to sum 1. It is T = 1 unless said otherwise.
 */
const RbmsCore = (() => {
  const FREE = -1; // what `clamps` holds for a pixel that is dreamt; 0 and 1 hold it at that value

  const sigmoid = (x) => (x > 0 ? 1 / (1 + Math.exp(-x)) : 1 - 1 / (1 + Math.exp(x)));
  const softplus = (x) => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));

  /** 1 with chance p, else 0; a chance of 0 or 1 is certain, for random numbers lie in [0, 1). */
  const draw = (p, random) => (random.uniform() < p ? 1 : 0);

  /** A machine of the tensors weight (visible, hidden), visible_bias and hidden_bias. */
  function machine(tensors) {
    const [visible, hidden] = tensors.weight.shape;
    return { visible, hidden, weight: tensors.weight.data, a: tensors.visible_bias.data, b: tensors.hidden_bias.data };
  }

  /** (b + Wᵀv) / T: the log-odds of each hidden unit. White pixels, nearly all, cost nothing. */
  function hiddenInput(m, v, T = 1, out = new Float64Array(m.hidden)) {
    out.set(m.b);
    for (let i = 0; i < m.visible; i++) {
      const value = v[i], row = i * m.hidden;
      if (value === 0) continue;
      for (let j = 0; j < m.hidden; j++) out[j] += value * m.weight[row + j];
    }
    for (let j = 0; j < m.hidden; j++) out[j] /= T;
    return out;
  }

  /** (a + W h) / T: the log-odds of each visible unit. */
  function visibleInput(m, h, T = 1, out = new Float64Array(m.visible)) {
    for (let i = 0; i < m.visible; i++) {
      const row = i * m.hidden;
      let sum = m.a[i];
      for (let j = 0; j < m.hidden; j++) sum += m.weight[row + j] * h[j];
      out[i] = sum / T;
    }
    return out;
  }

  /** F(v) = -aᵀv/T - Σ_j log(1 + exp((b_j + (Wᵀv)_j)/T)): the energy of v with the hidden units summed out. */
  function freeEnergy(m, v, T = 1) {
    const input = hiddenInput(m, v, T);
    let F = 0;
    for (let i = 0; i < m.visible; i++) F -= (m.a[i] * v[i]) / T;
    for (let j = 0; j < m.hidden; j++) F -= softplus(input[j]);
    return F;
  }

  /** A chain before its first round. Free pixels are drawn by the visible biases alone, as RBM.sample draws them.
   *
   * `clamps` (FREE, 0 or 1 for each pixel) stays the caller's: what is written there is held from the next round on.
   */
  function chain(m, clamps, random) {
    const v = new Float64Array(m.visible), visibleMean = new Float64Array(m.visible);
    for (let i = 0; i < m.visible; i++) {
      visibleMean[i] = clamps[i] === FREE ? sigmoid(m.a[i]) : clamps[i];
      v[i] = draw(visibleMean[i], random); // clamped ones too, so that the others see the same numbers
    }
    return {
      v, visibleMean, clamps,
      h: new Float64Array(m.hidden), hiddenMean: new Float64Array(m.hidden),
      belief: visibleMean.slice(), averaged: 0,
      rounds: 0, changed: 0,
    };
  }

  /** One round of block Gibbs, in place: all hidden units given the visible ones, then all free visible ones. */
  function round(m, one, T, random) {
    const { v, h, visibleMean, hiddenMean, clamps } = one;
    hiddenInput(m, v, T, hiddenMean);
    for (let j = 0; j < m.hidden; j++) {
      hiddenMean[j] = sigmoid(hiddenMean[j]);
      h[j] = draw(hiddenMean[j], random);
    }
    visibleInput(m, h, T, visibleMean);
    one.changed = 0;
    for (let i = 0; i < m.visible; i++) {
      if (clamps[i] === FREE) visibleMean[i] = sigmoid(visibleMean[i]);
      else visibleMean[i] = clamps[i];
      const now = draw(visibleMean[i], random);
      if (now !== v[i]) one.changed++;
      v[i] = now;
    }
    one.rounds++;
  }

  /** Take the last round's chances into the running average `belief`: all rounds alike at first, then the newest
   * counts 1/memory and older ones fade. The chance of a pixel given h has the mean of the pixel and varies less. */
  function average(one, memory = Infinity) {
    one.averaged++;
    const share = Math.max(1 / one.averaged, 1 / memory);
    for (let i = 0; i < one.v.length; i++) one.belief[i] += share * (one.visibleMean[i] - one.belief[i]);
  }

  return { FREE, sigmoid, softplus, machine, hiddenInput, visibleInput, freeEnergy, chain, round, average };
})();
