/* The live lab "rbms": clamp pixels of a letter or a digit, and watch a machine dream the rest.
 *
 * The arithmetic is rbms_core.js (RbmsCore); weights and biases are those of the chapter's shipped machines. This
 * file is the page around both. Blue, the colour of data, is what the reader holds; orange is what the machine makes.
 */
(function () {
  "use strict";

  const C = RbmsCore;
  const RATES = [1, 4, 15, 60, 240]; // rounds a second
  const MEMORY = 500; // rounds: the running average forgets what is older
  const TRACE = 400; // rounds that the free energy's plot reaches back
  const temperature = (i) => 10 ** (i / 20); // place of the slider, -20 to 20 → T
  const HEAD = 24; // above each picture: its name
  const BRUSHES = { ink: 1, paper: 0, erase: C.FREE };
  const REGIONS = {
    left: (row, column, side) => column < side / 2,
    top: (row, column, side) => row < side / 2,
  };

  const STYLE = `
.r-pair { display: grid; gap: 8px 20px; }
.r-pair > div { min-width: 0; }
.r-side { display: grid; grid-template-columns: 1fr 1fr; gap: 8px 16px; order: 2; }
.r-side > div { min-width: 0; }
.r-brush { grid-column: 1 / -1; order: 1; }
.r-brush > .segments { margin: 0; }
.r-pair > .transport { margin: 0; order: 1; }
.r-trace { margin-top: 12px; }
@media (max-width: 859.98px) {
  .columns > .picture { display: contents; }
  .r-trace { order: 2; margin: 0 0 16px; }
  .r-dream { order: 1; }
  .r-clamp { order: 3; }
  .columns .hint { order: 4; }
}
@media (min-width: 600px) {
  .r-pair { grid-template-columns: minmax(0, 12fr) minmax(0, 7fr); }
  .r-pair > .transport { order: 3; grid-column: 1 / -1; }
  .r-brush { order: 3; }
  .r-side { grid-template-columns: minmax(0, 1fr); align-content: start; }
}
`;

  const QUESTION = [
    "Here is the left half of a bold B. At temperature 1 the dream wanders among letters that begin like this. Now make the machine cold, T = 0.1, press Reset, then Play: every unit does what its input asks, hardly ever anything else. Will the dream end at the completion of the lowest free energy, and at the same one from each seed?",
    "Neither. We tried the seeds 1 to 30, 300 rounds each: they ended in 14 different pictures, at free energies from −47.7 to −38.4, on average −44.2. A cold chain slides into a valley near its start and seldom leaves it. Heat is what carries it across the hills: cooled slowly instead, 600 rounds from T = 2 down to 0.1, the same seeds end at −47.0 on average, the worst of them at −45.3. Play, and draw the slider down by hand. That is simulated annealing.",
  ];

  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const { write, words, line } = Lab;
  const count = (n) => n.toLocaleString("en-GB");
  const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
  const writeT = (T) => write(T, T < 0.995 ? 2 : T < 9.95 && Math.abs(T - 1) > 0.01 ? 1 : 0);

  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (one, other, share) => {
    const [p, q] = [parts(Lab.colour(one)), parts(Lab.colour(other))];
    return `rgb(${p.map((v, k) => Math.round(share * v + (1 - share) * q[k])).join(",")})`;
  };

  const make = (tag, parent, properties) => {
    const element = Object.assign(document.createElement(tag), properties);
    parent.appendChild(element);
    return element;
  };

  /** Call `draw` in the next frame, once. */
  function painter(draw) {
    let frame = 0;
    return () => {
      if (!frame) {
        frame = requestAnimationFrame(() => {
          frame = 0;
          draw();
        });
      }
    };
  }

  function lab(root) {
    const state = { machine: "letters", example: "B", region: "left", brush: "ink", showing: "sample", place: 0, seed: 1, outline: false };
    let about = null; // of Lab.data.machines: noun, range, examples
    let m = null;
    let side = 0; // pixels, each way
    let clamps = null; // for each pixel C.FREE, 0 or 1
    let real = null; // the held-out picture whose part is clamped, until the reader changes a pixel
    let [one, random] = [null, null];
    let history = []; // {round, F}
    let caret = null; // the pixel that the keys are at
    let drawn = 0;

    const { picture, panel } = Lab.columns(root);
    const pair = make("div", picture, { className: "r-pair" });
    const T = () => temperature(state.place);

    /* ==== pictures ========================================================================================== */
    const board = Lab.canvas(make("div", pair, {}), {
      label: "The pixels", width: 430, height: 430 + HEAD, focusable: true,
      draw: (c, W, H) => drawBoard(c, W, H),
    });
    board.element.classList.add("r-board");
    const brushes = make("div", pair, { className: "r-brush" });
    const bar = Lab.row(pair);
    const aside = make("div", pair, { className: "r-side" });
    const believed = Lab.canvas(make("div", aside, {}), {
      label: "The average of the dreams", width: 250, height: 250 + HEAD,
      draw: (c, W, H) => drawBelief(c, W, H),
    });
    const causes = Lab.canvas(make("div", aside, {}), {
      label: "The hidden units", width: 250, height: 125 + HEAD,
      draw: (c, W) => drawHidden(c, W),
    });
    const trace = Lab.canvas(make("div", picture, { className: "r-trace" }), {
      label: "The free energy over the rounds", width: 720, height: 150, keepHeight: true,
      draw: (c, W, H) => drawTrace(c, W, H),
    });

    /** Draw side × side cells: `shade(i)` is each free pixel's share of the model's colour. */
    function cells(c, at, size, shade, marked) {
      for (let i = 0; i < m.visible; i += 1) {
        const [row, column] = [Math.floor(i / side), i % side];
        const x = at.x + Math.round((column * size) / side), y = at.y + Math.round((row * size) / side);
        const wide = at.x + Math.round(((column + 1) * size) / side) - x, high = at.y + Math.round(((row + 1) * size) / side) - y;
        const free = clamps[i] === C.FREE;
        c.fillStyle = free ? mix("model", "paper", shade(i)) : clamps[i] ? Lab.colour("data") : mix("data", "paper", 0.16);
        c.fillRect(x, y, wide, high);
        if (marked && !free) { // a dot too, for eyes that do not tell the colours
          c.beginPath();
          c.arc(x + wide / 2, y + high / 2, Math.max(1.2, 0.09 * wide), 0, 7);
          c.fillStyle = Lab.colour(clamps[i] ? "paper" : "data");
          c.fill();
        }
      }
    }

    function frame(c, x, y, wide, high) {
      line(c, "edge", 1, () => c.rect(x + 0.5, y + 0.5, wide - 1, high - 1));
    }

    function drawBoard(c, W, H) {
      if (!one) return;
      const size = Math.min(W, H - HEAD);
      const at = { x: 0, y: HEAD };
      cells(c, at, size, (i) => (state.showing === "mean" ? one.visibleMean[i] : one.v[i]), true);
      const place = (k) => Math.round((k * size) / side);
      line(c, "rule", 1, () => {
        for (let k = 1; k < side; k += 1) {
          c.moveTo(place(k) + 0.5, at.y);
          c.lineTo(place(k) + 0.5, at.y + size);
          c.moveTo(0, at.y + place(k) + 0.5);
          c.lineTo(size, at.y + place(k) + 0.5);
        }
      });
      if (state.outline && real) {
        const ink = (row, column) => row >= 0 && column >= 0 && row < side && column < side && real[row * side + column] === 1;
        line(c, "truth", 2, () => {
          for (let row = 0; row <= side; row += 1) {
            for (let column = 0; column <= side; column += 1) {
              if (ink(row, column) !== ink(row, column - 1)) {
                c.moveTo(place(column), at.y + place(row));
                c.lineTo(place(column), at.y + place(row + 1));
              }
              if (ink(row, column) !== ink(row - 1, column)) {
                c.moveTo(place(column), at.y + place(row));
                c.lineTo(place(column + 1), at.y + place(row));
              }
            }
          }
        });
      }
      frame(c, 0, HEAD, size, size);
      if (caret) {
        const [x, y, wide] = [place(caret.column), at.y + place(caret.row), size / side];
        line(c, "paper", 5, () => c.rect(x + 1, y + 1, wide - 2, wide - 2));
        line(c, "attention", 2.5, () => c.rect(x + 1, y + 1, wide - 2, wide - 2));
      }
      let left = 0;
      for (const [text, colour] of [["clamped", "data"], [state.showing === "mean" ? "chance of ink" : "dreamt", "model"]]) {
        c.fillStyle = Lab.colour(colour);
        c.fillRect(left, 5, 10, 10);
        left += 15 + words(c, text, left + 15, 10, { colour, weight: "600" }) + 14;
      }
      words(c, `round ${count(one.rounds)}`, size, 10, { align: "right", colour: "ink" });
    }

    function drawBelief(c, W, H) {
      if (!one) return;
      const size = Math.min(W, H - HEAD);
      cells(c, { x: 0, y: HEAD }, size, (i) => one.belief[i], false);
      frame(c, 0, HEAD, size, size);
      words(c, W < 200 ? "average dream" : "average of the dreams", 0, 10, { weight: "600", colour: "ink" });
      if (W >= 200) words(c, plural(Math.min(one.averaged, MEMORY), "round"), size, 10, { align: "right" });
    }

    function drawHidden(c, W) {
      if (!one) return;
      const across = Math.ceil(Math.sqrt(2 * m.hidden));
      const cell = W / across;
      for (let j = 0; j < m.hidden; j += 1) {
        const x = Math.round((j % across) * cell), y = HEAD + Math.round(Math.floor(j / across) * cell);
        c.fillStyle = one.h[j] ? Lab.colour("model") : mix("noise", "paper", 0.18);
        c.fillRect(x, y, Math.max(2, Math.round(cell) - 2), Math.max(2, Math.round(cell) - 2));
      }
      words(c, "hidden units", 0, 10, { weight: "600", colour: "ink" });
      words(c, `${on()} on`, W, 10, { align: "right" });
    }

    function drawTrace(c, W, H) {
      if (!one) return;
      const [left, right, top, bottom] = [40, W - 4, HEAD + 4, H - 20];
      const [low, high] = about.range;
      const from = Math.max(0, one.rounds - TRACE), to = Math.max(one.rounds, 100);
      const seen = history.filter((s) => s.round >= from);
      const values = seen.map((s) => s.F);
      const bounds = [Math.min(low - 8, ...values) - 2, Math.max(high + 12, ...values) + 2];
      const X = (t) => left + ((t - from) / (to - from)) * (right - left);
      const Y = (F) => bottom - ((F - bounds[0]) / (bounds[1] - bounds[0])) * (bottom - top);
      c.fillStyle = mix("data", "paper", 0.16);
      c.fillRect(left, Y(high), right - left, Y(low) - Y(high));
      line(c, "rule", 1, () => {
        c.moveTo(left, top);
        c.lineTo(left, bottom);
        c.lineTo(right, bottom);
      });
      const unit = [5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((u) => (bounds[1] - bounds[0]) / u <= 5) || 10000;
      for (let F = Math.ceil(bounds[0] / unit) * unit; F <= bounds[1]; F += unit) words(c, write(F, 0), left - 6, Y(F), { align: "right" });
      line(c, "model", 1.8, () => seen.forEach((s, i) => (i ? c.lineTo(X(s.round), Y(s.F)) : c.moveTo(X(s.round), Y(s.F)))));
      const last = seen[seen.length - 1];
      c.beginPath();
      c.arc(X(last.round), Y(last.F), 4, 0, 7);
      c.fillStyle = Lab.colour("model");
      c.fill();
      words(c, "free energy F(v)", 0, 10, { weight: "600", colour: "ink" });
      words(c, `9 in 10 held-out ${about.noun}s`, right, 10, { align: "right", colour: "data" });
      words(c, count(from), left, bottom + 11, { align: "center" });
      words(c, `round ${count(to)}`, right, bottom + 11, { align: "right" });
    }

    /* ==== what is to be seen, in words and numbers ========================================================== */
    const on = () => one.h.reduce((sum, h) => sum + h, 0);
    const freePixels = () => clamps.reduce((sum, held) => sum + (held === C.FREE), 0);
    const energy = () => C.freeEnergy(m, one.v);
    /** Free pixels in which the dream is the held-out picture. */
    const agreed = () => clamps.reduce((sum, held, i) => sum + (held === C.FREE && one.v[i] === real[i]), 0);

    function pixelText() {
      const i = caret.row * side + caret.column;
      const now = one.v[i] ? "ink" : "paper";
      return `Row ${caret.row + 1}, column ${caret.column + 1}: ${clamps[i] === C.FREE ? `free, now ${now}` : `clamped, ${now}`}. `;
    }

    function sentence() {
      const free = freePixels();
      const where = caret ? pixelText() : "";
      if (one.rounds === 0) {
        const held = m.visible - free;
        return `${where}Round 0: ${plural(held, "pixel")} clamped, ${count(free)} free and drawn by the visible biases alone. Press Play, or Step.`;
      }
      const F = energy(), [low, high] = about.range;
      const span = `(${write(low, 0)} to ${write(high, 0)})`;
      const verdict = F > high ? `above those of held-out ${about.noun}s ${span}` : F < low ? `below those of held-out ${about.noun}s ${span}` : `as held-out ${about.noun}s have ${span}`;
      const match = real && free ? ` ${agreed()} of the free pixels are as in the held-out ${state.example}.` : "";
      const changed = free ? `${one.changed} of ${count(free)} free pixels changed` : "no pixel is free";
      return `${where}Round ${count(one.rounds)} at T = ${writeT(T())}: free energy ${write(F, 1)}, ${verdict}; ${changed}, ${on()} of ${m.hidden} hidden units on.${match}`;
    }

    let talk = 0;
    function tell() {
      if (talk) return;
      talk = setTimeout(() => {
        talk = 0;
        const text = sentence();
        Lab.say(text);
        board.describe(`Grid of ${side} by ${side} pixels. ${text}`);
        believed.describe(`Average of the dreams over ${plural(Math.min(one.averaged, MEMORY), "round")}: ${believedInk()} of the free pixels are believed to be ink.`);
        causes.describe(`Hidden units: ${on()} of ${m.hidden} are on.`);
        trace.describe(`Free energy over the rounds, now ${write(energy(), 1)}; 9 in 10 held-out ${about.noun}s have ${write(about.range[0], 0)} to ${write(about.range[1], 0)}.`);
      }, loop.playing ? 250 : 0);
    }
    const believedInk = () => clamps.reduce((sum, held, i) => sum + (held === C.FREE && one.belief[i] > 0.5), 0);

    function drawAll() {
      for (const view of [board, believed, causes, trace]) view.redraw();
      tell();
      drawn += 1;
    }
    const paint = painter(drawAll);

    /* ==== time ============================================================================================== */
    function note() {
      const last = history[history.length - 1];
      if (last && last.round === one.rounds) history.pop();
      history.push({ round: one.rounds, F: energy() });
      if (history.length > 2 * TRACE) history = history.slice(-TRACE - 1);
    }

    const loop = Lab.loop(() => {
      C.round(m, one, T(), random);
      C.average(one, MEMORY);
      note();
      paint();
    }, { rate: RATES[2], autoplay: false });

    Lab.transport(bar, loop, {
      onReset: () => {
        loop.pause();
        reset();
      },
    });
    loop.listen(paint);

    /** Begin again at round 0, from the seed; what is clamped stays. */
    function reset() {
      random = GB.random(state.seed);
      one = C.chain(m, clamps, random);
      history = [];
      note();
      paint();
    }

    /** The law has changed, by temperature or clamps: the average begins anew. */
    function anew() {
      one.averaged = 0;
      note();
      paint();
    }

    /* ==== clamping ========================================================================================== */
    function hold(row, column, value) {
      const i = row * side + column;
      if (clamps[i] === value) return;
      clamps[i] = value;
      if (value !== C.FREE) one.v[i] = one.visibleMean[i] = one.belief[i] = value;
      real = null;
      outline.input.disabled = true;
      anew();
    }

    /** Clamp part of a held-out picture and begin again. */
    function begin(region) {
      state.region = region;
      real = Float64Array.from(about.examples[state.example], Number);
      for (let i = 0; i < m.visible; i += 1) {
        clamps[i] = REGIONS[region](Math.floor(i / side), i % side, side) ? real[i] : C.FREE;
      }
      outline.input.disabled = false;
      reset();
    }

    function choose(name) {
      state.machine = name;
      about = Lab.data.machines[name];
      m = C.machine(Lab.weights(name));
      side = Math.sqrt(m.visible);
      clamps = new Int8Array(m.visible);
      caret = null;
    }

    let stroke = null; // the pixel where the pointer was
    const cellAt = ({ x, y }) => {
      const size = Math.min(board.width, board.height - HEAD);
      return { row: Math.floor(((y - HEAD) * side) / size), column: Math.floor((x * side) / size) };
    };
    const within = ({ row, column }) => row >= 0 && column >= 0 && row < side && column < side;
    function paintTo(to) {
      const from = stroke || to; // every pixel on the way: a quick finger skips some
      const steps = Math.max(Math.abs(to.row - from.row), Math.abs(to.column - from.column), 1);
      for (let k = 0; k <= steps; k += 1) {
        const cell = { row: Math.round(from.row + ((to.row - from.row) * k) / steps), column: Math.round(from.column + ((to.column - from.column) * k) / steps) };
        if (within(cell)) hold(cell.row, cell.column, BRUSHES[state.brush]);
      }
      stroke = to;
    }
    const track = (point) => paintTo(cellAt(point));
    Lab.pointer(board, {
      down: (point) => {
        stroke = caret = null;
        track(point);
      },
      move: track,
      up: () => { stroke = null; },
    });

    const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    board.element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { key } = event;
      if (!MOVES[key] && ![" ", "Enter", "Delete", "Backspace", "Home", "End"].includes(key)) return;
      event.preventDefault();
      if (!caret) {
        caret = { row: side / 2, column: side / 2 };
        if (MOVES[key]) return paint(); // the first arrow shows where the keys are
      }
      if (MOVES[key]) {
        caret.row = clamp(caret.row + MOVES[key][0], 0, side - 1);
        caret.column = clamp(caret.column + MOVES[key][1], 0, side - 1);
        if (event.shiftKey) hold(caret.row, caret.column, BRUSHES[state.brush]);
      } else if (key === "Home") caret.column = 0;
      else if (key === "End") caret.column = side - 1;
      else hold(caret.row, caret.column, key === " " || key === "Enter" ? BRUSHES[state.brush] : C.FREE);
      return paint();
    });
    board.element.addEventListener("blur", () => {
      caret = null;
      paint();
    });

    /* ==== controls ========================================================================================== */
    Lab.segments(brushes, {
      label: "Brush", options: [["ink", "Clamp ink"], ["paper", "Clamp paper"], ["erase", "Free again"]], value: state.brush,
      onChange: (to) => { state.brush = to; },
    });
    Lab.predict(panel, QUESTION);
    const boxOf = (group, name) => group.parentElement.classList.add(name);
    const dream = Lab.group(panel, "Dream");
    boxOf(dream, "r-dream");
    Lab.slider(dream, {
      label: "Temperature T", min: -20, max: 20, value: 0,
      format: (i) => (i === 0 ? "1, as learnt" : writeT(temperature(i))),
      onInput: (to) => {
        state.place = to;
        anew();
      },
    });
    Lab.segments(dream, {
      label: "Shown in the free pixels", options: [["sample", "Sample: 0 or 1"], ["mean", "Mean: a chance"]], value: state.showing,
      onChange: (to) => {
        state.showing = to;
        paint();
      },
    });
    Lab.slider(dream, {
      label: "Speed", min: 0, max: RATES.length - 1, value: 2,
      format: (i) => `${plural(RATES[i], "round")} a second`,
      onInput: (i) => { loop.rate = RATES[i]; },
    });
    Lab.slider(dream, {
      label: "Seed", min: 1, max: 30, value: state.seed,
      onInput: (to) => {
        loop.pause();
        state.seed = to;
        reset();
      },
    });
    const pixels = Lab.group(panel, "Clamp");
    boxOf(pixels, "r-clamp");
    const example = Lab.choice(pixels, {
      label: "Held-out picture", options: [], onChange: (to) => {
        state.example = to;
        begin(state.region);
      },
    });
    Lab.button(pixels, "Left half", () => begin("left"));
    Lab.button(pixels, "Top half", () => begin("top"));
    Lab.button(pixels, "Clear all", () => {
      clamps.fill(C.FREE);
      real = null;
      outline.input.disabled = true;
      anew();
    });
    const outline = Lab.toggle(pixels, {
      label: "Outline of the held-out picture", value: false,
      onChange: (to) => {
        state.outline = to;
        paint();
      },
    });

    const machines = Lab.group(panel, "Machine");
    boxOf(machines, "r-clamp");
    Lab.segments(machines, {
      label: "Machine", options: [["letters", "Letters, 16×16"], ["digits", "Digits, 8×8"]], value: state.machine,
      onChange: (to) => {
        loop.pause();
        choose(to);
        offer(to === "letters" ? "B" : "5");
        begin("left");
      },
    });
    function offer(first) {
      example.input.replaceChildren(...Object.keys(about.examples).map((name) => new Option(name, name)));
      state.example = example.value = first;
    }

    picture.appendChild(document.getElementById("result"));
    const manual =
      "Draw on the large grid with mouse or finger. With keys: ← → ↑ ↓ move, space applies the brush, Shift with an arrow draws, Delete frees. Clamped pixels carry a dot. Held-out pictures: of each letter or digit the one with the most ink. The mean is each pixel’s chance of ink given the hidden units; the average is that of the last 500 rounds since temperature or clamps changed. The free energy is that of the learnt weights, at T = 1, whatever the slider says.";
    Lab.hint(picture, manual, board);

    choose(state.machine);
    offer(state.example);
    begin("left");
    Lab.say(sentence());
    return {
      get state() { return state; },
      get machine() { return m; },
      get chain() { return one; },
      get clamps() { return clamps; },
      get real() { return real; },
      get history() { return history; },
      get caret() { return caret; },
      get side() { return side; },
      get T() { return T(); },
      get playing() { return loop.playing; },
      get rate() { return loop.rate; },
      get drawn() { return drawn; },
    };
  }

  Lab.start((root) => {
    make("style", document.head, { textContent: STYLE });
    /** What the page holds now, for the tests: it is read there, never written. */
    RbmsCore.page = lab(root);
  });
})();
