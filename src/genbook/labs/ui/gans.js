/* The live lab "gans": a game in the plane, trained in the page, and a walk through the noise of the book's letters.
 *
 * The arithmetic of the first part is gans_core.js (GansCore); the letters are drawn by Lab.network from the weights
 * that the chapter's shipped generator has. This file is the page around both.
 *
 * Symbols are those of the chapter: noise z, generator G, critic's logit f, D = 1 / (1 + exp(-f)) its probability
 * that a point is real. A letter's noise is three things: which letter (52), a choice without a name (24), and 20
 * plain normals, which are called its style here.
 */
(function () {
  "use strict";

  const C = GansCore;

  /* ==== the game, without a picture ========================================================================= */
  const TARGETS = {
    ring: { make: C.ring, label: "ring of 8 Gaussians", noun: "modes", weight: 10 },
    grid: { make: C.grid, label: "grid of 9 Gaussians", noun: "modes", weight: 12 },
    moons: { make: C.moons, label: "two moons", noun: "stretches", weight: 10 },
  };
  const weightOf = (i) => 0.07 * 100 ** ((i - 10) / 10); // place of the slider → weight of the penalty
  const BATCH = 64;
  const RATE = 3e-3; // of both players at first; halved every HALF steps, down to a tenth
  const HALF = 800;
  const AVERAGE = 0.99; // of the averaged weights
  const SHOWN = 600; // drawings: these are seen, and these are counted

  /** A network with the weights of another, which it follows: value ← decay · value + (1 - decay) · other. */
  function follower(net) {
    const sizes = [net.layers[0].inputs, ...net.layers.map((layer) => layer.outputs)];
    const copy = C.network(sizes, net.slope, GB.random(0));
    const follow = (decay) =>
      copy.layers.forEach((layer, l) => {
        for (const name of ["weight", "bias"]) {
          const mine = layer[name];
          const other = net.layers[l][name];
          for (let k = 0; k < mine.length; k += 1) mine[k] += (1 - decay) * (other[k] - mine[k]);
        }
      });
    copy.layers.forEach((layer, l) => ["weight", "bias"].forEach((name) => layer[name].set(net.layers[l][name])));
    return { net: copy, follow };
  }

  /** One game on a target, from a seed: `play(weight)` makes a step, `draw(averaged)` gives the drawings. */
  function newGame(name, seed) {
    const target = TARGETS[name].make();
    const random = GB.random(seed);
    const players = C.players(random);
    const average = follower(players.generator);
    const noise = C.drawNoise(GB.random(seed + 1000), new Float64Array(players.latent * SHOWN), players.latent * SHOWN);
    const self = {
      name, target, players, average, steps: 0, calm: 0, losses: null, heldSince: null,
      history: [], // {step, covered, near, loss}
      sum: 0,
      count: 0,
      /** One step of both players; the learning rate falls with the steps since the penalty was last changed. */
      play(weight) {
        const rate = RATE * Math.max(0.1, 0.5 ** (self.calm / HALF));
        self.losses = C.step(players, target, random, { batch: BATCH, rate, weight });
        self.steps += 1;
        self.calm += 1;
        average.follow(Math.min(AVERAGE, self.steps / (self.steps + 10)));
        self.sum += self.losses.game;
        self.count += 1;
      },
      /** The drawings, SHOWN pairs of numbers; they hold until the next step. */
      draw(averaged) {
        return C.generate({ generator: averaged ? average.net : players.generator }, noise, SHOWN);
      },
      /** What the drawings cover; kept in the history. */
      measure(points) {
        const found = C.modeCoverage(points, SHOWN, target.means, target.scale);
        const loss = self.count ? self.sum / self.count : null;
        const last = self.history[self.history.length - 1];
        const now = { step: self.steps, covered: found.covered, near: found.near, loss: loss === null && last ? last.loss : loss };
        if (last && last.step === self.steps) self.history.pop();
        self.history.push(now);
        [self.sum, self.count] = [0, 0];
        if (self.history.length > 600) self.history = self.history.filter((_, i, all) => i % 2 === 0 || i === all.length - 1);
        if (found.covered < target.modes) self.heldSince = null;
        else if (self.heldSince === null) self.heldSince = self.steps;
        return { ...found, loss: now.loss };
      },
    };
    return self;
  }

  /* ==== the page ============================================================================================ */
  const RATES = [1, 3, 10, 30, 1000];
  const CELLS = 64; // of the landscape, each way
  const SLICES = 8; // drawings of the page in which the landscape is computed once
  const ARROWS = 64; // drawings whose pull is computed
  const REACH = 3; // the plane is drawn from -REACH to REACH
  const SIDE = 32; // pixels of a letter, each way
  const [LEFT, TOP, INNER] = [4, 6, 24]; // the square of them in which there is ink
  const STYLES = 20;
  const MAP = 5; // letters on the map, each way
  const STRIP = 9;
  const WIDE = 2.5; // the map reaches that many standard deviations each way
  const WORD = "Forger";

  const STYLE = `
.g-pair { display: grid; gap: 8px 16px; }
.g-pair > div, .g-letters > div { min-width: 0; }
.g-letters { display: grid; grid-template-columns: 1fr 1fr; gap: 0 12px; }
.g-letters h3, .picture h3 { font-size: .9375rem; font-weight: 600; margin: 0 0 4px; }
.g-strip { margin-top: 12px; }
.g-sights { margin: 4px 0 0; gap: 0 20px; }
.g-word { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--edge); border-radius: 8px; padding: 0 12px; }
.columns canvas[tabindex] { touch-action: none; }
.columns canvas.g-plane { touch-action: pan-y; }
@media (min-width: 600px) {
  .g-pair { grid-template-columns: minmax(0, 7fr) minmax(0, 4fr); }
  .g-pair > .transport { order: 3; grid-column: 1 / -1; margin: 0; }
}
`;

  const GAME_QUESTION = [
    "Press Reset and choose “off: collapse”. The generator is now rewarded for every drawing that the critic takes for real, and nothing in its loss mentions variety. How many of the modes will it hold after about 700 steps?",
    "On the ring one or two, from each of the eight seeds that we tried. Against a fixed critic the best answer is a single point, the one that the critic likes most; variety is asked for only by the critic that comes after. So the generator chases, and the critic follows. Now choose “on: cure”, without a reset: a penalty on the squared slope of the critic draws both players in. For some 300 steps it gets worse; after about 1,000, seven or eight modes have come back (the same eight seeds).",
  ];
  const LETTER_QUESTION = [
    "All letters of your word get the same noise; only the choice of the letter differs. Will they look like one typeface? Try several styles, and look closely.",
    "Mostly, and never wholly: within a word one letter is heavier than its neighbours, another slanted. Nothing in the game asks that equal noise mean an equal design for all letters. Giving the style a place of its own is the idea of StyleGAN.",
  ];

  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const { write, words, line } = Lab;
  const percent = (share) => `${write(100 * share, 0)} %`;
  const count = (n) => n.toLocaleString("en-GB");
  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  const make = (tag, parent, properties) => {
    const element = Object.assign(document.createElement(tag), properties);
    parent.appendChild(element);
    return element;
  };

  function columns(root, title) {
    const section = make("section", root, {});
    make("h2", section, { textContent: title });
    return { section, ...Lab.columns(section) };
  }

  /** Words that can be read on any ground. */
  function halo(c, text, x, y, align) {
    c.font = Lab.FONT;
    c.textAlign = align;
    c.textBaseline = "middle";
    c.strokeStyle = Lab.colour("paper");
    c.lineWidth = 3;
    c.lineJoin = "round";
    c.strokeText(text, x, y);
    words(c, text, x, y, { align, colour: "ink" });
  }

  /** Call `draw` in the next frame, once; while `busy()` not more often than every `gap` ms. */
  function painter(draw, busy, gap) {
    let frame = 0;
    let last = -Infinity;
    const turn = () => {
      frame = 0;
      if (busy() && performance.now() - last < gap) return later();
      last = performance.now();
      return draw();
    };
    const later = () => {
      if (!frame) frame = requestAnimationFrame(turn);
    };
    later.due = () => performance.now() - last >= gap;
    return later;
  }

  /* ---- part 1: the game ------------------------------------------------------------------------------------ */
  function gamePart(root) {
    const { section, picture, panel } = columns(root, "Two players in the plane");
    const state = { target: "ring", seed: 1, cure: true, weight: 0.07, landscape: true, arrows: true, averaged: true, probe: null };
    let game = null;
    let seen = null; // what the drawings cover
    let points = null; // the drawings, copied
    let data = null; // points of the target, to be seen
    let grid = null; // the critic's features at the landscape's cells
    let slice = 0;
    const logits = new Float64Array(CELLS * CELLS); // of the landscape that is seen
    const coming = new Float64Array(CELLS * CELLS); // of the next one

    /* -- the landscape -- */
    const tile = document.createElement("canvas");
    tile.width = tile.height = CELLS;
    const tileContext = tile.getContext("2d");
    const pixels = tileContext.createImageData(CELLS, CELLS);

    function surveyor() {
      const places = new Float64Array(2 * CELLS * CELLS);
      for (let i = 0, at = 0; i < CELLS; i += 1) {
        for (let j = 0; j < CELLS; j += 1, at += 2) {
          places[at] = REACH * ((2 * j + 1) / CELLS - 1);
          places[at + 1] = -REACH * ((2 * i + 1) / CELLS - 1);
        }
      }
      const { waves } = game.players;
      return C.features(waves, places, CELLS * CELLS, new Float64Array(CELLS * CELLS * waves.outputs));
    }

    function survey(from, to) {
      const n = (CELLS * CELLS) / SLICES;
      const wide = game.players.waves.outputs;
      for (let s = from; s < to; s += 1) {
        const found = C.logitsOf(game.players, grid.subarray(s * n * wide, (s + 1) * n * wide), n);
        coming.set(found.subarray(0, n), s * n);
      }
      if (to === SLICES) {
        logits.set(coming);
        paintTile();
      }
    }

    /* where the critic says "real" it is the critic's purple, where it says "drawn" grey, where it cannot tell paper */
    function paintTile() {
      const [real, drawn, paper] = ["attention", "noise", "paper"].map((name) => parts(Lab.colour(name)));
      for (let i = 0; i < CELLS * CELLS; i += 1) {
        const lean = Math.tanh(logits[i] / 2); // 2 D - 1
        const share = 0.62 * Math.abs(lean) ** 0.8;
        const ink = lean > 0 ? real : drawn;
        for (let k = 0; k < 3; k += 1) pixels.data[4 * i + k] = Math.round(share * ink[k] + (1 - share) * paper[k]);
        pixels.data[4 * i + 3] = 255;
      }
      tileContext.putImageData(pixels, 0, 0);
    }

    /* -- the data: they stand still, so they are drawn once -- */
    const still = document.createElement("canvas");
    let stillFor = "";
    function stillLayer(size, ratio) {
      const key = [size, ratio, Lab.theme, state.target, state.seed].join();
      if (key === stillFor) return still;
      stillFor = key;
      still.width = still.height = Math.round(size * ratio);
      const c = still.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      c.fillStyle = Lab.colour("data");
      c.globalAlpha = 0.55;
      for (let i = 0; i < data.length; i += 2) {
        c.beginPath();
        c.arc(size * (0.5 + data[i] / (2 * REACH)), size * (0.5 - data[i + 1] / (2 * REACH)), 1.7, 0, 7);
        c.fill();
      }
      return still;
    }

    /* -- the plane -- */
    const HEAD = 24; // above the plane: the key
    const pair = make("div", picture, { className: "g-pair" });
    const plane = Lab.canvas(make("div", pair, {}), {
      label: "The plane of the game",
      width: 440,
      height: 440 + HEAD,
      focusable: true,
      draw: (c, W) => drawPlane(c, W),
    });
    plane.element.classList.add("g-plane");
    const bar = Lab.row(pair); // below the plane on a phone, below both where they stand side by side
    const aside = Lab.canvas(make("div", pair, {}), {
      label: "Modes covered and the critic’s loss over the steps, and each mode’s share of the drawings",
      width: 560,
      height: window.innerWidth >= 600 ? 440 + HEAD : 372,
      keepHeight: true,
      draw: (c, W, h) => drawAside(c, W, h),
    });

    const X = (x, W) => W * (0.5 + x / (2 * REACH));
    const Y = (y, W) => HEAD + W * (0.5 - y / (2 * REACH));

    function drawPlane(c, W) {
      if (!game) return;
      c.save();
      c.beginPath();
      c.rect(0, HEAD, W, W);
      c.clip();
      if (state.landscape) {
        c.imageSmoothingEnabled = true;
        c.imageSmoothingQuality = "high";
        c.drawImage(tile, 0, HEAD, W, W);
      }
      const { means, modes, scale } = game.target;
      for (let k = 0; k < modes; k += 1) {
        const held = seen && seen.weights[k] * seen.near >= 0.25 / modes;
        line(c, held ? "ink" : "quiet", held ? 1.6 : 1, () => {
          const [x, y] = [X(means[2 * k], W), Y(means[2 * k + 1], W)];
          const radius = (W * 3 * scale) / (2 * REACH);
          c.moveTo(x + radius, y);
          c.arc(x, y, radius, 0, 2 * Math.PI);
        }, held ? [] : [3, 3]);
      }
      c.drawImage(stillLayer(W, plane.element.width / W), 0, HEAD, W, W);
      c.beginPath();
      for (let i = 0; i < 2 * SHOWN; i += 2) {
        const [x, y] = [X(points[i], W), Y(points[i + 1], W)];
        c.moveTo(x + 2.2, y);
        c.arc(x, y, 2.2, 0, 2 * Math.PI);
      }
      c.fillStyle = Lab.colour("model");
      c.fill();
      if (state.arrows) drawArrows(c, W);
      if (state.probe) {
        const [x, y] = [X(state.probe.x, W), Y(state.probe.y, W)];
        for (const [colour, width] of [["paper", 4], ["ink", 1.6]]) {
          line(c, colour, width, () => {
            c.moveTo(x - 9, y);
            c.lineTo(x + 9, y);
            c.moveTo(x, y - 9);
            c.lineTo(x, y + 9);
          });
        }
      }
      c.restore();
      for (const v of [-2, 0, 2]) {
        halo(c, v === 2 ? "x₁ = 2" : write(v, 0), X(v, W), HEAD + W - 10, "center");
        if (v !== -2) halo(c, v === 2 ? "x₂ = 2" : write(v, 0), 5, Y(v, W), "left");
      }
      line(c, "rule", 1, () => c.rect(0.5, HEAD + 0.5, W - 1, W - 1));
      /* the key */
      let left = 2;
      for (const [text, colour] of [["data", "data"], ["drawings", "model"]]) {
        c.beginPath();
        c.arc(left + 4, 10, 4, 0, 7);
        c.fillStyle = Lab.colour(colour);
        c.fill();
        left += 12 + words(c, text, left + 12, 10, { colour }) + 14;
      }
      if (state.probe) {
        words(c, `D = ${write(chanceAt(state.probe))} at +`, W - 2, 10, { align: "right", colour: "ink", weight: "600" });
      } else if (state.landscape) {
        let right = W - 2;
        right -= words(c, "drawn", right, 10, { align: "right" }) + 5;
        const ramp = c.createLinearGradient(right - 60, 0, right, 0);
        const paper = parts(Lab.colour("paper"));
        const mixed = (name) => `rgb(${parts(Lab.colour(name)).map((v, k) => Math.round(0.62 * v + 0.38 * paper[k])).join(",")})`;
        ramp.addColorStop(0, mixed("attention"));
        ramp.addColorStop(0.5, Lab.colour("paper"));
        ramp.addColorStop(1, mixed("noise"));
        c.fillStyle = ramp;
        c.fillRect(right - 60, 5, 60, 10);
        line(c, "edge", 1, () => c.rect(right - 60.5, 4.5, 61, 11));
        words(c, W < 400 ? "real" : "critic says: real", right - 66, 10, { align: "right" });
      }
    }

    /* along the gradient of log D: where, and how strongly, the generator's loss pulls a drawing */
    function drawArrows(c, W) {
      const from = points.slice(0, 2 * ARROWS);
      const { slope, logits: f } = C.look(game.players, from, ARROWS);
      const tails = [];
      c.beginPath();
      for (let i = 0; i < ARROWS; i += 1) {
        const pull = 1 / (1 + Math.exp(f[i]));
        const [dx, dy] = [pull * slope[2 * i], -pull * slope[2 * i + 1]];
        const size = Math.hypot(dx, dy);
        if (size < 0.15) continue; // too weak a pull to be seen
        const length = (30 * size) / (size + 0.8) / size;
        const [x, y] = [X(from[2 * i], W), Y(from[2 * i + 1], W)];
        if (tails.some(([a, b]) => Math.hypot(a - x, b - y) < 7)) continue; // one arrow for a heap
        tails.push([x, y]);
        const [tx, ty] = [x + length * dx, y + length * dy];
        const [ux, uy] = [dx / size, dy / size];
        const head = Math.min(6, 0.4 * length * size + 1);
        c.moveTo(x, y);
        c.lineTo(tx, ty);
        c.moveTo(tx - head * (ux + 0.6 * uy), ty - head * (uy - 0.6 * ux));
        c.lineTo(tx, ty);
        c.lineTo(tx - head * (ux - 0.6 * uy), ty - head * (uy + 0.6 * ux));
      }
      c.lineWidth = 1.4;
      c.lineJoin = "round";
      c.strokeStyle = Lab.colour("ink");
      c.stroke();
    }

    /* -- the plots beside it -- */
    function drawAside(c, W, h) {
      if (!game || !seen) return;
      const high = h / 3;
      const [left, right] = [30, W - 6];
      const { modes } = game.target;
      const history = game.history;
      const span = Math.max(300, game.steps);
      const at = (s) => left + (s.step / span) * (right - left);
      const frame = (row, title, value, colour, low, top, ticks) => {
        const [up, down] = [row * high + 28, (row + 1) * high - (row === 1 ? 20 : row === 2 ? 6 : 10)];
        const scale = (v) => down - ((v - low) / (top - low)) * (down - up);
        words(c, title, 0, row * high + 10, { weight: "600", colour: "ink" });
        words(c, value, right, row * high + 10, { align: "right", colour });
        for (const t of ticks) {
          line(c, "rule", 1, () => {
            c.moveTo(left, Math.round(scale(t)) + 0.5);
            c.lineTo(right, Math.round(scale(t)) + 0.5);
          });
          words(c, String(t), left - 6, scale(t), { align: "right" });
        }
        return { scale, up, down };
      };
      const { noun } = TARGETS[state.target];
      const covered = frame(0, `${noun} covered`, `${seen.covered} of ${modes}`, "model", 0, modes, [0, modes / 2, modes].filter((t) => t % 1 === 0));
      const path = (scale, field) => () => {
        history.filter((s) => s[field] !== null).forEach((s, i) => (i ? c.lineTo(at(s), scale(s[field])) : c.moveTo(at(s), scale(s[field]))));
      };
      line(c, "model", 2, path(covered.scale, "covered"));
      const loss = frame(1, "critic’s loss", seen.loss === null ? "" : write(seen.loss), "attention", 0, 2, [0, 1, 2]);
      line(c, "truth", 1.2, () => {
        c.moveTo(left, loss.scale(2 * Math.LN2));
        c.lineTo(right, loss.scale(2 * Math.LN2));
      }, [4, 3]);
      c.save();
      c.beginPath();
      c.rect(left, loss.up - 3, right - left, loss.down - loss.up + 6);
      c.clip();
      line(c, "attention", 2, path(loss.scale, "loss"));
      c.restore();
      words(c, "0", left, loss.down + 9, { align: "center" });
      words(c, `step ${count(span)}`, right, loss.down + 9, { align: "right" });
      const share = frame(2, `share of each ${noun === "modes" ? "mode" : "stretch"}`, `${percent(seen.near)} near`, "model", 0, 1, [0]);
      const most = Math.max(2.5 / modes, seen.near * Math.max(...seen.weights)) * 1.05; // shares of all drawings
      const wide = (right - left) / modes;
      c.fillStyle = Lab.colour("model");
      seen.weights.forEach((w, k) => {
        const tall = ((share.down - share.up) * w * seen.near) / most;
        c.fillRect(left + k * wide + 0.12 * wide, share.down - tall, 0.76 * wide, tall);
      });
      const due = share.down - (share.down - share.up) / modes / most;
      line(c, "truth", 1.2, () => {
        c.moveTo(left, due);
        c.lineTo(right, due);
      }, [4, 3]);
      words(c, `1/${modes}`, left - 2, due, { align: "right" });
    }

    /* -- words -- */
    function chanceAt({ x, y }) {
      const { waves } = game.players;
      const phi = C.features(waves, Float64Array.of(x, y), 1, new Float64Array(waves.outputs));
      return 1 / (1 + Math.exp(-C.logitsOf(game.players, phi, 1)[0]));
    }

    function sentence() {
      if (state.probe) {
        const { x, y } = state.probe;
        return `At (${write(x, 1)}, ${write(y, 1)}) the critic gives ${percent(chanceAt(state.probe))} for “real”.`;
      }
      const { noun } = TARGETS[state.target];
      const { modes } = game.target;
      const covered = `${seen.covered} of ${modes} ${noun} covered`;
      const near = `${percent(seen.near)} of the drawings near one`;
      if (game.steps === 0) return `Step 0: ${covered}, ${near}. Nothing has been learnt yet: press Play, or Step.`;
      const held = game.heldSince !== null && game.heldSince < game.steps ? `, all since step ${count(game.heldSince)}` : "";
      return `Step ${count(game.steps)}: ${covered}${held}, ${near}; critic’s loss ${write(seen.loss)} (1.39 when it cannot tell).`;
    }

    let talk = 0;
    function tell(text) {
      if (text) Lab.say(text);
      else if (!talk) {
        talk = setTimeout(() => {
          talk = 0;
          Lab.say(sentence());
          plane.describe(`${sentence()} Arrow keys move a cross that asks the critic.`);
        }, loop.playing ? 250 : 0);
      }
    }

    /* -- time -- */
    function look() {
      points = game.draw(state.averaged).slice();
      seen = game.measure(points);
    }

    function drawAll() {
      if (state.landscape) {
        if (loop.playing && loop.rate > 30) {
          survey(slice, slice + 1);
          slice = (slice + 1) % SLICES;
        } else {
          survey(0, SLICES);
          slice = 0;
        }
      }
      look();
      plane.redraw();
      aside.redraw();
      tell();
      drawn += 1;
    }
    let drawn = 0;

    let [lastFrame, begun] = [null, 0];
    const loop = Lab.loop(
      () => {
        /* at full speed: about half of a frame for the game, less in a frame that is drawn, so that keys are heard */
        const frame = document.timeline.currentTime;
        if (frame !== lastFrame) [lastFrame, begun] = [frame, performance.now()];
        else if (loop.playing && loop.rate > 30 && performance.now() - begun > (paint.due() ? 2 : 7)) return;
        game.play(state.cure ? state.weight : 0);
        paint();
      },
      { rate: 1000, autoplay: false },
    );
    const paint = painter(drawAll, () => loop.playing, 40);
    Lab.transport(bar, loop, {
      onReset: () => {
        loop.pause();
        reset();
      },
    });
    loop.listen(paint);
    const sights = Lab.row(picture);
    sights.classList.add("g-sights");
    for (const [name, label] of [["landscape", "Critic’s landscape"], ["arrows", "Critic’s pull on drawings"], ["averaged", "Averaged weights"]]) {
      Lab.toggle(sights, {
        label, value: state[name],
        onChange: (on) => {
          state[name] = on;
          paint();
        },
      });
    }

    function reset() {
      game = newGame(state.target, state.seed);
      const random = GB.random(state.seed + 2000);
      data = new Float64Array(800);
      for (let i = 0; i < data.length; i += 2) game.target.draw(random, data, i);
      stillFor = "";
      grid = surveyor();
      slice = 0;
      survey(0, SLICES);
      look();
      paint();
    }

    /* leaving this part for the other stops the game, coming back goes on with it */
    let waiting = false;
    new IntersectionObserver((entries) => {
      const inView = entries[entries.length - 1].isIntersecting;
      if (!inView && loop.playing) {
        waiting = true;
        loop.pause();
      } else if (inView && waiting) {
        waiting = false;
        loop.play();
      }
    }).observe(section);

    /* -- asking the critic -- */
    function ask(x, y) {
      state.probe = { x: clamp(x, -REACH, REACH), y: clamp(y, -REACH, REACH) };
      paint();
    }
    const place = ({ x, y }) => ask(REACH * ((2 * x) / plane.width - 1), -REACH * ((2 * (y - HEAD)) / plane.width - 1));
    Lab.pointer(plane, { down: place, move: place });
    plane.element.style.touchAction = "pan-y";
    plane.element.addEventListener("keydown", (event) => {
      const dx = { ArrowLeft: -0.1, ArrowRight: 0.1 }[event.key] || 0;
      const dy = { ArrowUp: 0.1, ArrowDown: -0.1 }[event.key] || 0;
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key === "Escape" && state.probe) {
        state.probe = null;
        paint();
      } else if (dx || dy) {
        event.preventDefault();
        const at = state.probe || { x: 0, y: 0 };
        ask(at.x + (event.shiftKey ? 5 : 1) * dx, at.y + (event.shiftKey ? 5 : 1) * dy);
      }
    });
    plane.element.addEventListener("blur", () => {
      state.probe = null;
      paint();
    });

    /* -- controls -- */
    Lab.predict(panel, GAME_QUESTION);
    const rules = Lab.group(panel, "Game");
    const note = make("p", rules, { className: "hint", textContent: "Penalty on the critic’s slope, R1 + R2" });
    note.style.cssText = "flex: 1 1 100%; margin: 4px 0 0; color: var(--ink)";
    const cures = [["cure", "on: cure"], ["collapse", "off: collapse"]];
    Lab.segments(rules, { label: "Penalty on the critic’s slope", options: cures, value: "cure", onChange(to) {
      state.cure = to === "cure";
      weight.input.disabled = !state.cure;
      game.calm = 0;
      game.heldSince = null;
      tell(state.cure ? "The penalty on the critic’s slope is on." : "The penalty on the critic’s slope is off.");
    } });
    const weight = Lab.slider(rules, {
      label: "Weight of the penalty", min: 0, max: 20, value: 10,
      format: (i) => write(weightOf(i), i < 8 ? 3 : 2),
      onInput: (i) => {
        state.weight = weightOf(i);
        game.calm = 0;
      },
    });
    Lab.choice(rules, {
      label: "Target density",
      options: Object.entries(TARGETS).map(([value, { label }]) => ({ value, label })),
      value: "ring",
      onChange: (to) => {
        loop.pause();
        state.target = to;
        weight.value = TARGETS[to].weight;
        state.weight = weightOf(weight.value);
        reset();
      },
    });
    const sight = Lab.group(panel, "Run");
    Lab.slider(sight, {
      label: "Speed", min: 0, max: RATES.length - 1, value: RATES.length - 1,
      format: (i) => (RATES[i] === 1 ? "1 step a second" : RATES[i] > 30 ? "as fast as it goes" : `${RATES[i]} steps a second`),
      onInput: (i) => { loop.rate = RATES[i]; },
    });
    Lab.slider(sight, {
      label: "Seed", min: 1, max: 30, value: 1,
      onInput: (to) => {
        loop.pause();
        state.seed = to;
        reset();
      },
    });
    picture.appendChild(document.getElementById("result"));
    const manual =
      "Touch the plane to ask the critic there; with keys: ← → ↑ ↓. A solid ring means that the mode is covered: it has a quarter of its due within 3σ. As in the chapter, drawings come from weights averaged over the last steps, and the learning rate falls: by half every 800 steps since Reset or since the penalty was changed.";
    Lab.hint(picture, manual, plane);
    Lab.onTheme(() => {
      paintTile();
      paint();
    });

    reset();
    Lab.say(sentence());
    return {
      get game() { return game; },
      get seen() { return seen; },
      get state() { return state; },
      get playing() { return loop.playing; },
      get drawn() { return drawn; },
      get probe() { return state.probe; },
    };
  }

  /* ---- part 2: the letters --------------------------------------------------------------------------------- */
  function letterPart(root) {
    const { picture, panel } = columns(root, "A walk through the noise of the letters");
    const { names, codes, latent } = Lab.data;
    const artist = Lab.network("generator");
    const state = { letter: names.indexOf("g"), choice: 0, from: 1, to: 2, share: 0, x: 0, y: 0, word: WORD };

    /* -- noise -- */
    const styleOf = (number) => GB.random(5004 + number).normals([STYLES]).data;
    const styles = {};
    const style = (number) => styles[number] || (styles[number] = styleOf(number));

    /** Two directions at right angles, of length 1: the plane of the map, one for each style. */
    function axesOf(number) {
      const random = GB.random(9000 + number);
      const [u, v] = [random.normals([STYLES]).data, random.normals([STYLES]).data];
      const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
      const unit = (a) => a.map((value) => value / Math.sqrt(dot(a, a)));
      const first = unit(u);
      const along = dot(v, first);
      return [first, unit(v.map((value, k) => value - along * first[k]))];
    }
    let axes = axesOf(1);

    /** Between two styles: of the spread that normals have, all the way. */
    function blend(share) {
      const [a, b] = [style(state.from), style(state.to)];
      const size = Math.hypot(1 - share, share);
      return a.map((value, k) => ((1 - share) * value + share * b[k]) / size);
    }

    function noiseOf(letter, numbers, x, y) {
      const z = new Float32Array(latent);
      z[letter] = 1;
      z[codes[0] + state.choice] = 1;
      // the map's directions have the length of a typical style
      const reach = Math.sqrt(STYLES) / WIDE;
      for (let k = 0; k < STYLES; k += 1) z[codes[0] + codes[1] + k] = numbers[k] + reach * (x * axes[0][k] + y * axes[1][k]);
      return z;
    }

    /** Pictures for a list of noises, in one batch: an array of Float32Array(SIDE · SIDE), -1 paper to 1 ink. */
    function drawLetters(noises) {
      if (!noises.length) return [];
      const z = GB.tensor([noises.length, latent]);
      noises.forEach((noise, i) => z.data.set(noise, i * latent));
      const { data } = artist(z);
      return noises.map((_, i) => data.slice(i * SIDE * SIDE, (i + 1) * SIDE * SIDE));
    }

    /* -- pictures -- */
    let stamps = new WeakMap(); // a small canvas for each picture, in the present ink
    function stampOf(image) {
      if (stamps.has(image)) return stamps.get(image);
      const stamp = document.createElement("canvas");
      stamp.width = stamp.height = SIDE;
      const c = stamp.getContext("2d");
      const pixels = c.createImageData(SIDE, SIDE);
      const [r, g, b] = parts(Lab.colour("ink"));
      for (let i = 0; i < SIDE * SIDE; i += 1) pixels.data.set([r, g, b, Math.round(127.5 * (1 + image[i]))], 4 * i);
      c.putImageData(pixels, 0, 0);
      stamps.set(image, stamp);
      return stamp;
    }
    Lab.onTheme(() => { stamps = new WeakMap(); }); // before the canvases hear of it
    function ink(c, image, x, y, size, alpha) {
      c.imageSmoothingEnabled = true;
      c.imageSmoothingQuality = "high";
      c.globalAlpha = alpha || 1;
      c.drawImage(stampOf(image), LEFT, TOP, INNER, INNER, x, y, size, size);
      c.globalAlpha = 1;
    }

    /** The columns between which a letter has ink: [first, one past the last]. */
    function inkSpan(image) {
      let [first, last] = [SIDE, 0];
      for (let i = 0; i < SIDE * SIDE; i += 1) {
        if (image[i] < -0.4) continue;
        first = Math.min(first, i % SIDE);
        last = Math.max(last, (i % SIDE) + 1);
      }
      return first < last ? [first, last] : [12, 20];
    }

    function ground(c, W, h) {
      c.fillStyle = Lab.colour("panel");
      c.fillRect(0, 0, W, h);
      line(c, "rule", 1, () => c.rect(0.5, 0.5, W - 1, h - 1));
    }

    let one = null; // the letter
    let version = 0; // of everything that the word's letters share: style, choice, place on the map
    const kept = new Map(); // letter → {image, version}: its last picture
    let map = []; // the letters of the map, row by row; filled little by little
    let strip = [];
    let drawn = 0;
    let stale = true; // are map and strip of another letter or style?

    const pair = make("div", picture, { className: "g-letters" });
    const [first, second] = [make("div", pair, {}), make("div", pair, {})];
    make("h3", first, { textContent: "The letter" });
    make("h3", second, { textContent: "Map: drag the dot" });
    const large = Lab.canvas(first, {
      label: "The letter", width: 330, height: 330,
      draw: (c, W, h) => {
        ground(c, W, h);
        if (one) ink(c, one, 0.03 * W, 0.03 * W, 0.94 * W);
      },
    });
    const pad = Lab.canvas(second, {
      label: "Map of letters", width: 330, height: 330, focusable: true,
      draw: (c, W, h) => {
        ground(c, W, h);
        const cell = W / MAP;
        map.forEach((image, i) => {
          if (image) ink(c, image, (i % MAP) * cell + 0.1 * cell, Math.floor(i / MAP) * cell + 0.1 * cell, 0.8 * cell, 0.5);
        });
        const [x, y] = [W * (0.5 + state.x / (2 * WIDE)), h * (0.5 - state.y / (2 * WIDE))];
        line(c, "edge", 1, () => {
          c.moveTo(x, 0);
          c.lineTo(x, h);
          c.moveTo(0, y);
          c.lineTo(W, y);
        }, [2, 3]);
        c.beginPath();
        c.arc(x, y, 8, 0, 7);
        c.fillStyle = Lab.colour("model");
        c.fill();
        c.lineWidth = 2;
        c.strokeStyle = Lab.colour("paper");
        c.stroke();
      },
    });
    const wordBox = make("div", picture, { className: "g-strip" });
    make("h3", wordBox, { textContent: "Your word, all letters from the same noise" });
    const wordView = Lab.canvas(wordBox, {
      label: "The word", width: 720, height: window.innerWidth >= 600 ? 92 : 66, keepHeight: true,
      draw: (c, W, h) => {
        ground(c, W, h);
        const writing = written();
        /* each letter as wide as its ink, and a little air */
        const spans = writing.map(inkSpan);
        const wide = spans.reduce((sum, [a, b]) => sum + b - a + 2.4, 0);
        const unit = Math.min((h - 8) / INNER, (W - 24) / Math.max(wide, 1));
        let x = (W - unit * wide) / 2 + 1.2 * unit;
        writing.forEach((image, i) => {
          const [a, b] = spans[i];
          ink(c, image, x - unit * (a - LEFT), (h - unit * INNER) / 2, unit * INNER);
          x += unit * (b - a + 2.4);
        });
      },
    });
    const stripBox = make("div", picture, { className: "g-strip" });
    const stripTitle = make("h3", stripBox, { textContent: "" });
    const stripView = Lab.canvas(stripBox, {
      label: "From one style to another", width: 720, height: window.innerWidth >= 600 ? 82 : 48, keepHeight: true,
      draw: (c, W, h) => {
        ground(c, W, h);
        const cell = (W - 12) / STRIP;
        const size = Math.min(cell, h - 10);
        strip.forEach((image, i) => image && ink(c, image, 6 + (i + 0.5) * cell - size / 2, (h - size) / 2, size));
        const x = 6 + (0.5 + state.share * (STRIP - 1)) * cell;
        line(c, "model", 2.5, () => c.rect(x - cell / 2 + 1, 3, cell - 2, h - 6));
      },
    });

    /* -- what is done when something changes -- */
    const said = make("p", picture, { className: "said" });
    said.setAttribute("role", "status");
    said.setAttribute("aria-live", "polite");
    let talk = 0;
    let home = null; // the letter of the style itself: not moved, not blended
    function tell() {
      clearTimeout(talk);
      talk = setTimeout(() => {
        const name = names[state.letter];
        const kind = name === name.toUpperCase() ? "capital" : "small";
        let [black, change] = [0, 0];
        one.forEach((value, i) => {
          black += (1 + value) / 2 / INNER ** 2;
          change += Math.abs(value - home[i]) / 2 / INNER ** 2;
        });
        const moved = state.x || state.y ? `, moved by (${write(state.x, 1)}, ${write(state.y, 1)}) on the map` : "";
        const mixed = state.share > 0 ? `${percent(state.share)} of the way from style ${state.from} to style ${state.to}` : `style ${state.from}`;
        const text = `The ${kind} ${name} in ${mixed}, choice ${state.choice + 1} of ${codes[1]}${moved}: ink covers ${percent(black)} of the square` +
          (change < 0.0005 ? "." : `; a pixel differs from style ${state.from} by ${percent(change)} of the step from white to black, on average.`);
        said.textContent = text;
        large.describe(text);
        pad.describe(`Map of letters around this style, now at (${write(state.x, 1)}, ${write(state.y, 1)}); arrow keys move.`);
        wordView.describe(`The word ${state.word || "(none)"} in the same noise.`);
        stripView.describe(`The letter ${name} in ${STRIP} steps from style ${state.from} to style ${state.to}.`);
      }, 250);
    }

    const indices = () => Array.from(state.word, (letter) => names.indexOf(letter));
    const written = () => indices().filter((l) => kept.has(l)).map((l) => kept.get(l).image);

    /** Letters whose picture is not of the present version, the one that is shown large first, then the oldest. */
    function waiting() {
      const age = (l) => (l === state.letter ? -2 : kept.has(l) ? kept.get(l).version : -1);
      return [...new Set([state.letter, ...indices()])]
        .filter((l) => !kept.has(l) || kept.get(l).version !== version)
        .sort((a, b) => age(a) - age(b));
    }

    function renew(which) {
      const numbers = blend(state.share);
      drawLetters(which.map((l) => noiseOf(l, numbers, state.x, state.y))).forEach((image, i) => {
        kept.set(which[i], { image, version });
      });
    }

    /* what is asked for is drawn at once, the rest of the word a few letters at a time */
    let resting = 0;
    function rest() {
      resting = 0;
      renew(waiting().slice(0, 3));
      wordView.redraw();
      if (waiting().length) resting = setTimeout(rest, 8);
    }

    function drawAll() {
      renew(waiting().slice(0, 2));
      one = kept.get(state.letter).image;
      if (stale) {
        stale = false;
        [home] = drawLetters([noiseOf(state.letter, style(state.from), 0, 0)]);
        map = new Array(MAP * MAP).fill(null);
        strip = new Array(STRIP).fill(null);
        stripTitle.textContent = `From style ${state.from} to style ${state.to}`;
        mapped = -1;
      }
      if (mapped !== state.share) fill();
      for (const view of [large, pad, wordView, stripView]) view.redraw();
      if (waiting().length && !resting) resting = setTimeout(rest, 8);
      tell();
      drawn += 1;
    }
    const paint = painter(drawAll, () => false, 0);

    /* the map and the strip come a few letters a frame, from the middle outwards, so that nothing waits for them */
    const order = Array.from({ length: MAP * MAP }, (_, i) => i).sort((i, j) => ring(i) - ring(j));
    function ring(i) {
      const middle = (MAP - 1) / 2;
      return Math.hypot((i % MAP) - middle, Math.floor(i / MAP) - middle);
    }
    let [filling, mapped, queue] = [0, -1, []];
    function fill() {
      const everything = mapped === -1;
      mapped = state.share;
      queue = [...(everything ? Array.from({ length: STRIP }, (_, i) => ["strip", i]) : []), ...order.map((i) => ["map", i])];
      clearTimeout(filling);
      filling = setTimeout(more, everything ? 30 : 150);
    }
    function more() {
      const now = queue.splice(0, 3);
      const images = drawLetters(now.map(([kind, i]) => {
        if (kind === "strip") return noiseOf(state.letter, blend(i / (STRIP - 1)), 0, 0);
        const step = (2 * WIDE) / MAP;
        return noiseOf(state.letter, blend(state.share), ((i % MAP) - (MAP - 1) / 2) * step, ((MAP - 1) / 2 - Math.floor(i / MAP)) * step);
      }));
      now.forEach(([kind, i], k) => { (kind === "strip" ? strip : map)[i] = images[k]; });
      pad.redraw();
      if (now.some(([kind]) => kind === "strip")) stripView.redraw();
      if (queue.length) filling = setTimeout(more, 16);
    }

    function changed(anew) {
      stale = stale || anew;
      version += 1;
      paint();
    }

    /* -- moving on the map -- */
    function move(x, y) {
      state.x = clamp(x, -WIDE, WIDE);
      state.y = clamp(y, -WIDE, WIDE);
      changed(false);
    }
    const place = ({ x, y }) => move(WIDE * ((2 * x) / pad.width - 1), -WIDE * ((2 * y) / pad.height - 1));
    Lab.pointer(pad, { down: place, move: place });
    pad.element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const step = event.shiftKey ? 0.5 : 0.1;
      const dx = { ArrowLeft: -step, ArrowRight: step }[event.key] || 0;
      const dy = { ArrowUp: step, ArrowDown: -step }[event.key] || 0;
      if (event.key === "Home") move(0, 0);
      else if (dx || dy) move(Math.round(10 * (state.x + dx)) / 10, Math.round(10 * (state.y + dy)) / 10);
      else return;
      event.preventDefault();
    });

    /* -- controls -- */
    Lab.predict(panel, LETTER_QUESTION);
    const what = Lab.group(panel, "Letter");
    Lab.choice(what, {
      label: "Letter",
      options: Array.from(names, (name, i) => ({ value: String(i), label: name })),
      value: String(state.letter),
      onChange: (to) => {
        state.letter = Number(to);
        stale = true;
        paint();
      },
    });
    const field = make("div", what, { className: "control" });
    make("label", field, { textContent: "Your word", htmlFor: "g-word" });
    make("span", field, { className: "quiet", textContent: "A–Z, a–z, up to 12" });
    const input = make("input", field, { type: "text", id: "g-word", className: "g-word", value: WORD, maxLength: 12, autocomplete: "off", spellcheck: false });
    input.addEventListener("input", () => {
      const letters = Array.from(input.value).filter((letter) => names.includes(letter)).join("").slice(0, 12);
      if (letters !== input.value) input.value = letters;
      state.word = letters;
      paint();
    });

    const how = Lab.group(panel, "Style: 20 normals");
    const share = Lab.slider(how, {
      label: "From style 1 to style 2", min: 0, max: 1, step: 0.01, value: 0, format: percent,
      onInput: (to) => {
        state.share = to;
        changed(false);
      },
    });
    const restyle = () => {
      share.element.querySelector("label").textContent = `From style ${state.from} to style ${state.to}`;
      axes = axesOf(state.from);
      changed(true);
    };
    let newest = 2;
    Lab.button(how, "New style", () => {
      newest += 1;
      [state.from, state.share, state.x, state.y] = [newest, 0, 0, 0];
      share.value = 0;
      restyle();
    });
    Lab.button(how, "New goal", () => {
      newest += 1;
      state.to = newest;
      restyle();
    });
    Lab.slider(how, {
      label: "The choice without a name", min: 1, max: codes[1], value: 1,
      format: (i) => `${i} of ${codes[1]}`,
      onInput: (to) => {
        state.choice = to - 1;
        changed(true);
      },
    });
    Lab.button(how, "Back to style 1", () => {
      Object.assign(state, { from: 1, to: 2, share: 0, x: 0, y: 0 });
      newest = 2;
      share.value = 0;
      restyle();
    });

    const manual =
      "A letter is drawn from 96 numbers: 52 choose which letter, 24 make a choice that nobody named, 20 are called its style here. The map is a plane through those 20, with the style itself at its middle. With keys: ← → ↑ ↓, with Shift in larger steps, Home to the middle. Towards the corners it grows longer than any noise that the generator is likely to have met in training.";
    Lab.hint(picture, manual, pad);

    drawAll();
    return {
      artist,
      get state() { return state; },
      get one() { return one; },
      get writing() { return written(); },
      get settled() { return !waiting().length && !queue.length; },
      get map() { return map; },
      get drawn() { return drawn; },
      noise: () => noiseOf(state.letter, blend(state.share), state.x, state.y),
    };
  }

  Lab.start((root) => {
    make("style", document.head, { textContent: STYLE });
    const game = gamePart(root);
    const letters = letterPart(root);
    /** What the page holds now, for the tests: it is read there, never written. */
    GansCore.page = { game, letters };
  });
})();
