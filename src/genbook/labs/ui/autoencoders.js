/* The live lab "autoencoders": encode your own drawing, then walk among the codes.
 *
 * The networks are those of the shipped autoencoder of glyphs, the principal components those of the same training
 * glyphs; the rest of the arithmetic is latent_core.js (LatentCore), the furniture latent_page.js (LatentPage). Blue
 * is what the reader draws or chooses, orange what a model makes of it.
 */
(function () {
  "use strict";

  const C = LatentCore, P = LatentPage;
  const { HEAD, make, words, line } = P;
  const { SIDE, clamp } = C;
  const { write } = Lab;
  const SHOWN = 8; // sliders that are there from the start
  const DRAWN = 6; // random codes of each kind
  const GLYPHS = [11, 16]; // numbers of the held-out glyphs at the start: drawn, and the other end of the walk
  const EDGES = [0.1, 400]; // of the axis of squared errors

  const STYLE = `
.l-three { display: grid; gap: 8px 16px; grid-template-columns: 1fr 1fr; }
.l-three > div, .l-walk > div, .l-many > div, .l-four > div { min-width: 0; }
.l-three > div:first-child, .l-brush { grid-column: 1 / -1; max-width: 340px; }
.l-brush { display: grid; gap: 8px; grid-template-columns: 2fr 1fr; }
.l-brush > .segments { margin: 0; }
.l-strip { margin-top: 12px; }
.l-walk { display: grid; gap: 8px 16px; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); }
.l-many { display: grid; gap: 12px 20px; margin-top: 12px; }
.l-rest { flex: 1 1 100%; }
.panel .l-numbers .control { flex: 1 1 40%; min-width: 0; }
.panel .l-jump > button { flex: 1 1 40%; padding: 0 6px; }
.l-four { display: grid; gap: 8px 16px; grid-template-columns: 1fr 1fr; }
.l-share { margin: 12px 0 16px; }
.l-share > .control { max-width: none; }
@media (max-width: 859.98px) {
  .l-second > .picture { display: contents; }
  .l-second .l-many { order: 2; margin: 0 0 12px; }
  .l-second .hint { order: 3; }
  .l-second fieldset { order: 1; }
}
@media (min-width: 600px) {
  .l-three { grid-template-columns: minmax(0, 3fr) minmax(0, 2fr) minmax(0, 2fr); align-items: end; }
  .l-three > div:first-child { grid-column: auto; }
  .l-brush { grid-column: 1; grid-row: 2; }
  .l-walk { grid-template-columns: minmax(0, 2fr) minmax(0, 5fr); align-items: end; }
  .l-many { grid-template-columns: 1fr 1fr; }
  .l-four { grid-template-columns: repeat(4, minmax(0, 1fr)); }
}
`;

  const QUESTION =
    "Over the training glyphs, each of the 32 numbers of the code keeps within some range. Draw every number at random within its range, and decode: will you see glyphs? And will you, if you draw the codes from the Gaussian that has their mean and their covariance?";

  function lab(root) {
    const encoder = Lab.network("encoder"), decoder = Lab.network("decoder");
    const pca = GB.load(Lab.data.pca), law = GB.load(Lab.data.law);
    const { latent, captions, errors: usual } = Lab.data;
    const glyphs = C.pictures(Lab.data.pictures);
    const order = Array.from(law.scale.data.keys()).sort((i, j) => law.scale.data[j] - law.scale.data[i]);

    const encode = (x) => encoder(GB.tensor([1, 1, SIDE, SIDE], x)).data;
    const decode = (z) => decoder(GB.tensor([1, latent], z)).data;
    /** How far each number of a code lies from the mean of the training codes, in their standard deviations. */
    const standard = (z) => Array.from(z, (v, j) => (v - law.mean.data[j]) / law.scale.data[j]);

    const state = { brush: "ink", radius: 1.2, right: 0, down: 0, source: GLYPHS[0], other: GLYPHS[1], share: 0.5, seed: 1, noise: 0 };
    let base = glyphs[state.source].slice(); // what is drawn, before it is shifted
    let [x, code, rebuilt, linear] = []; // the drawing, its code, what the network and the components make of it
    let walk = null; // a code of the reader's own, until the drawing changes
    let walked = null; // what it decodes to
    let between = null; // the two pictures on the way to the other glyph: {coded, faded}
    let caret = null;
    let drawn = 0;
    let gallery = [];

    /* ==== encode and decode ================================================================================= */
    const first = Lab.columns(root);
    const three = make("div", first.picture, { className: "l-three" });
    const board = Lab.canvas(make("div", three), {
      label: "Your drawing", width: 340, height: 340 + HEAD, focusable: true,
      draw: (c, W, H) => drawBoard(c, W, H),
    });
    board.element.classList.add("l-board");
    const brushes = make("div", three, { className: "l-brush" });
    const byNetwork = P.plate(three, { label: "What the network makes of it", size: 240 });
    const byComponents = P.plate(three, { label: "What 32 principal components make of it", size: 240 });
    const strip = Lab.canvas(make("div", first.picture, { className: "l-strip" }), {
      label: "The squared errors", width: 720, height: 104, keepHeight: true,
      draw: (c, W, H) => drawStrip(c, W, H),
    });
    first.picture.appendChild(document.getElementById("result"));

    const boardSize = () => Math.min(board.width, board.height - HEAD);

    function drawBoard(c, W) {
      if (!x) return;
      const size = boardSize();
      words(c, "drawing", 0, HEAD / 2, { colour: "data", weight: "600" });
      words(c, "32 × 32 pixels", Math.min(W, size), HEAD / 2, { align: "right" });
      P.picture(c, x, "data", 0, HEAD, size);
      if (caret) {
        const wide = size / SIDE, [left, top] = [caret.column * wide, HEAD + caret.row * wide];
        line(c, "paper", 5, () => c.rect(left - 1, top - 1, wide + 2, wide + 2));
        line(c, "attention", 2.5, () => c.rect(left - 1, top - 1, wide + 2, wide + 2));
      }
    }

    const error = { get network() { return C.squaredError(rebuilt, x); }, get linear() { return C.squaredError(linear, x); } };
    const LANES = [["network", "network"], ["linear", "32 components"]];

    function drawStrip(c, W, H) {
      if (!x) return;
      const left = 106, right = W - 12;
      const X = (v) => left + (Math.log(clamp(v, ...EDGES) / EDGES[0]) / Math.log(EDGES[1] / EDGES[0])) * (right - left);
      words(c, "squared error, in ink", 0, 10, { weight: "600", colour: "ink" });
      words(c, W < 420 ? "band: 9 in 10 held out" : "band: 9 in 10 held-out glyphs", right, 10, { align: "right" });
      LANES.forEach(([kind, name], row) => {
        const y = 36 + 26 * row, [low, middle, high] = usual[kind];
        words(c, name, 0, y, { colour: "model", weight: "600" });
        c.fillStyle = P.mix("noise", "paper", 0.3);
        c.fillRect(X(low), y - 8, X(high) - X(low), 16);
        line(c, "noise", 2, () => {
          c.moveTo(X(middle), y - 8);
          c.lineTo(X(middle), y + 8);
        });
        P.disc(c, "model", X(error[kind]), y, 6);
      });
      line(c, "edge", 1, () => {
        c.moveTo(left, H - 24);
        c.lineTo(right, H - 24);
      });
      for (const v of [0.1, 1, 10, 100]) {
        line(c, "edge", 1, () => {
          c.moveTo(X(v), H - 28);
          c.lineTo(X(v), H - 24);
        });
        words(c, String(v), X(v), H - 12, { align: "center" });
      }
    }

    /* ==== the code ========================================================================================== */
    make("h2", root, { textContent: "Walk among the codes" });
    const second = Lab.columns(root);
    second.picture.parentElement.classList.add("l-second");
    const walking = make("div", second.picture, { className: "l-walk" });
    const here = P.plate(walking, { label: "What the code decodes to", size: 220 });
    const bars = Lab.canvas(make("div", walking), {
      label: "The numbers of the code", width: 500, height: 220, keepHeight: true,
      draw: (c, W, H) => drawBars(c, W, H),
    });
    const KINDS = [["box", "codes from the box of the training codes"], ["gaussian", "codes from the Gaussian fitted to them"]];
    const side = make("div", second.picture, { className: "l-many" });
    const many = KINDS.map(([, label], row) => Lab.canvas(make("div", side), {
      label, width: 352, height: 2 * 112 + 8 + HEAD,
      draw: (c, W, H) => drawMany(c, W, H, row),
    }));

    const now = () => walk ?? code;

    function drawBars(c, W, H) {
      if (!x) return;
      const [left, right, top, bottom] = [28, W, 30, H - 22], middle = (top + bottom) / 2, unit = (bottom - top) / 8;
      const Y = (v) => middle - clamp(v, -4, 4) * unit;
      const values = standard(now()), own = standard(code), wide = (right - left) / latent;
      const narrow = W < 360;
      words(c, narrow ? "code, in std. deviations" : "code, in standard deviations of the training codes", 0, 10, { weight: "600", colour: "ink" });
      c.fillStyle = P.mix("noise", "paper", 0.18);
      c.fillRect(left, Y(2), right - left, Y(-2) - Y(2));
      for (const v of [-4, -2, 0, 2, 4]) words(c, write(v, 0), left - 6, Y(v), { align: "right" });
      order.forEach((j, k) => {
        const at = left + k * wide;
        c.fillStyle = Lab.colour("model");
        c.fillRect(at + 1, Math.min(Y(values[j]), middle), Math.max(wide - 2, 2), Math.abs(Y(values[j]) - middle));
        if (walk) {
          line(c, "ink", 2, () => {
            c.moveTo(at, Y(own[j]));
            c.lineTo(at + wide, Y(own[j]));
          });
        }
      });
      line(c, "edge", 1, () => {
        c.moveTo(left, middle);
        c.lineTo(right, middle);
      });
      if (!walk || !narrow) words(c, narrow ? "most varied first" : "numbers that vary most come first", right, H - 9, { align: "right" });
      if (walk) words(c, "lines: the drawing’s code", left, H - 9, { colour: "ink" });
    }

    function drawMany(c, W, H, row) {
      if (!gallery.length) return;
      const across = DRAWN / 2, size = Math.floor(Math.min((W - 8 * (across - 1)) / across, (H - HEAD - 8) / 2));
      words(c, KINDS[row][1], 0, HEAD / 2, { colour: "model", weight: "600" });
      gallery[row].forEach((one, k) => P.picture(c, one, "model", (k % across) * (size + 8), HEAD + Math.floor(k / across) * (size + 8), size));
    }

    const randomCode = { box: (random) => C.boxCode(law, random), gaussian: (random) => C.gaussianCode(law, random) };

    function drawCodes() {
      const random = GB.random(state.seed);
      gallery = KINDS.map(([kind]) => Array.from({ length: DRAWN }, () => decode(randomCode[kind](random)).slice()));
      many.forEach((view, row) => {
        view.describe(`${DRAWN} decoded pictures of ${KINDS[row][1]}; draw ${state.seed}.`);
        view.redraw();
      });
    }

    /* ==== between two glyphs ================================================================================ */
    make("h2", root, { textContent: "From your drawing to a glyph" });
    const third = Lab.columns(root);
    const four = make("div", third.picture, { className: "l-four" });
    const [start, coded, faded, end] = ["The drawing", "Between the codes, decoded", "Between the pixels", "The other glyph"]
      .map((label) => P.plate(four, { label, size: 170, note: false }));
    const sharing = make("div", third.picture, { className: "l-share" });

    /* ==== what is to be seen, in words ====================================================================== */
    const usualText = (kind) => `${write(usual[kind][0], 1)} and ${write(usual[kind][2], 1)}`;

    function verdict(error, [low, middle, high]) {
      if (error > high) return "Harder than 19 in 20 held-out glyphs";
      if (error < low) return "Easier than 19 in 20 held-out glyphs";
      return `${error > middle ? "Harder" : "Easier"} than most held-out glyphs`;
    }

    function sentence() {
      const where = caret ? `Row ${caret.row + 1}, column ${caret.column + 1}. ` : "";
      const [a, b] = [error.network, error.linear];
      const best = Math.abs(a - b) < 0.05 ? "as near as" : a < b ? "nearer than" : "farther off than";
      return `${where}From ${latent} numbers the network draws it again with squared error ${write(a, 1)}, ${best} ${latent} principal components with ${write(b, 1)}. ${verdict(a, usual.network)}: 9 in 10 of them lie between ${usualText("network")} by the network, ${usualText("linear")} by the components.`;
    }

    function walkText() {
      return walk ? "another code" : "the drawing’s code";
    }

    let talk = 0;
    function tell() {
      if (talk) return;
      talk = setTimeout(() => {
        talk = 0;
        describe();
        Lab.say(sentence());
      }, 200);
    }

    function describe() {
      board.describe(`Your drawing, ${SIDE} by ${SIDE} pixels. ${sentence()}`);
      byNetwork.describe(`The network’s picture, squared error ${write(error.network, 1)}.`);
      byComponents.describe(`The picture of 32 principal components, squared error ${write(error.linear, 1)}.`);
      strip.describe(`Squared error of the network ${write(error.network, 1)}, of the components ${write(error.linear, 1)}.`);
      here.describe(`Decoded picture of ${walkText()}.`);
      bars.describe(`The 32 numbers of ${walkText()}, in standard deviations: ${order.slice(0, SHOWN).map((j) => write(standard(now())[j], 1)).join(", ")} are the first ${SHOWN}.`);
      coded.describe(`${write(100 * state.share, 0)} % of the way between the codes, decoded.`);
      faded.describe(`${write(100 * state.share, 0)} % of the way between the pictures, pixel by pixel.`);
    }

    /* ==== from the drawing to all that follows ============================================================== */
    let [changed, stepped] = [true, true]; // the drawing; the code

    function compute() {
      if (changed) {
        x = C.shifted(base, state.right, state.down);
        code = encode(x);
        rebuilt = decode(code);
        linear = C.rebuild(pca, C.project(pca, x));
        walk = walked = null;
      }
      if (changed || stepped) {
        if (walk) walked = decode(walk);
        for (const one of sliders) one.slider.value = now()[one.j];
      }
      [changed, stepped] = [false, false];
    }

    function drawBetween() {
      const target = glyphs[state.other];
      start.show({ ink: x, meaning: "data", name: "drawing" });
      between = { coded: decode(C.blend(code, otherCode, state.share)), faded: C.blend(x, target, state.share) };
      coded.show({ ink: between.coded, meaning: "model", name: "between codes" });
      faded.show({ ink: between.faded, meaning: "model", name: "between pixels" });
      end.show({ ink: target, meaning: "data", name: "glyph" });
      tell();
      drawn += 1;
    }
    const paintBetween = P.painter(drawBetween);

    let resting = 0;
    /** The walk follows the drawing when the hand rests: it is farther down, and a stroke must stay quick. */
    function follow() {
      clearTimeout(resting);
      resting = setTimeout(paintBetween, 150);
    }

    function drawAll() {
      if (changed) follow();
      compute();
      board.redraw();
      strip.redraw();
      bars.redraw();
      byNetwork.show({ ink: rebuilt, meaning: "model", name: "network", note: `error ${write(error.network, 1)}` });
      byComponents.show({ ink: linear, meaning: "model", name: "32 components", note: `error ${write(error.linear, 1)}` });
      here.show({ ink: walk ? walked : rebuilt, meaning: "model", name: "decoded", note: walkText() });
      back.disabled = !walk;
      tell();
      drawn += 1;
    }
    const paint = P.painter(drawAll);

    function redrawn() {
      changed = true;
      paint();
    }

    /** The shift becomes part of the drawing, so that a brush paints where it is seen. */
    function settle() {
      if (state.right || state.down) base = C.shifted(base, state.right, state.down);
      state.right = state.down = right.value = down.value = 0;
    }

    function begin(picture) {
      base = picture.slice();
      state.right = state.down = right.value = down.value = 0;
      redrawn();
    }

    /* ==== drawing =========================================================================================== */
    let stroke = null;
    const placeAt = ({ x: left, y: top }) => {
      const wide = boardSize() / SIDE;
      return { row: (top - HEAD) / wide - 0.5, column: left / wide - 0.5 };
    };
    function paintTo(to) {
      const from = stroke ?? to, steps = Math.max(1, Math.ceil(2 * Math.hypot(to.row - from.row, to.column - from.column)));
      for (let k = 0; k <= steps; k += 1) {
        const part = k / steps;
        C.dot(base, from.row + (to.row - from.row) * part, from.column + (to.column - from.column) * part, state.radius, state.brush === "ink");
      }
      stroke = to;
      redrawn();
    }
    Lab.pointer(board, {
      down: (point) => {
        stroke = caret = null;
        settle();
        paintTo(placeAt(point));
      },
      move: (point) => paintTo(placeAt(point)),
      up: () => { stroke = null; },
    });

    const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    board.element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { key } = event, apply = key === " " || key === "Enter";
      if (!MOVES[key] && !apply) return;
      event.preventDefault();
      if (!caret) {
        caret = { row: SIDE / 2, column: SIDE / 2 };
        if (MOVES[key]) {
          paint(); // the first arrow shows where the keys are
          return;
        }
      }
      if (MOVES[key]) {
        caret.row = clamp(caret.row + MOVES[key][0], 0, SIDE - 1);
        caret.column = clamp(caret.column + MOVES[key][1], 0, SIDE - 1);
      }
      if (apply || event.shiftKey) {
        settle();
        stroke = null;
        paintTo({ ...caret });
        stroke = null;
      }
      paint();
    });
    board.element.addEventListener("blur", () => {
      caret = null;
      paint();
    });

    /* ==== controls ========================================================================================== */
    Lab.predict(first.panel, [QUESTION, Lab.data.answer]);
    Lab.segments(brushes, {
      label: "Brush", options: [["ink", "Ink"], ["paper", "Paper"]], value: state.brush,
      onChange: (to) => { state.brush = to; },
    });
    Lab.button(brushes, "Blank", () => begin(new Float32Array(C.PIXELS)));
    const drawing = Lab.group(first.panel, "Draw");
    Lab.slider(drawing, {
      label: "Brush’s radius", min: 0.4, max: 3, step: 0.2, value: state.radius, format: (v) => `${write(v, 1)} pixels`,
      onInput: (to) => { state.radius = to; },
    });
    const shift = (name, label) => Lab.slider(drawing, {
      label, min: -8, max: 8, value: 0, format: (v) => `${write(v, 0)} pixels`,
      onInput: (to) => {
        state[name] = to;
        redrawn();
      },
    });
    const right = shift("right", "Shift to the right");
    const down = shift("down", "Shift down");
    const sources = Lab.group(first.panel, "Begin from");
    const options = captions.map((label, value) => ({ value, label }));
    const source = Lab.choice(sources, {
      label: "Held-out glyph", options, value: state.source,
      onChange: (to) => {
        state.source = Number(to);
        begin(glyphs[state.source]);
      },
    });
    Lab.button(sources, "Whole glyph again", () => begin(glyphs[state.source]));
    Lab.button(sources, "Noise", () => {
      state.noise += 1;
      const random = GB.random(state.noise);
      begin(Float32Array.from({ length: C.PIXELS }, () => random.uniform()));
    });

    const numbers = Lab.group(second.panel, "The code’s numbers");
    numbers.classList.add("l-numbers");
    const rest = make("div", numbers, { className: "row l-rest", hidden: true });
    const sliders = order.map((j, k) => {
      const [low, high] = [law.low.data[j], law.high.data[j]], margin = 0.1 * (high - low);
      return {
        j,
        slider: Lab.slider(k < SHOWN ? numbers : rest, {
          label: `Number ${k + 1}`, min: low - margin, max: high + margin, step: (high - low) / 200, value: 0,
          format: (v) => write((v - law.mean.data[j]) / law.scale.data[j], 1),
          onInput: (to) => {
            walk = Float32Array.from(now());
            walk[j] = to;
            stepped = true;
            paint();
          },
        }),
      };
    });
    const all = Lab.toggle(numbers, {
      label: `All ${latent} numbers`, value: false,
      onChange: (on) => { rest.hidden = !on; },
    });
    numbers.append(all.element, rest); // the rest comes below its switch
    function walkTo(z) {
      walk = z;
      stepped = true;
      paint();
    }
    const jump = Lab.group(second.panel, "Another code");
    jump.classList.add("l-jump");
    const back = Lab.button(jump, "The drawing’s", () => walkTo(null));
    let draws = 0;
    for (const [kind, label] of [["box", "From the box"], ["gaussian", "From the Gaussian"]]) {
      Lab.button(jump, label, () => {
        draws += 1;
        walkTo(randomCode[kind](GB.random(draws)));
      });
    }
    Lab.button(jump, "Twelve new codes", () => {
      state.seed += 1;
      drawCodes();
    });
    let otherCode = encode(glyphs[state.other]);
    Lab.slider(sharing, {
      label: "Share of the other glyph", min: 0, max: 1, step: 0.02, value: state.share, format: (v) => `${write(100 * v, 0)} %`,
      onInput: (to) => {
        state.share = to;
        paintBetween();
      },
    });
    Lab.choice(Lab.group(third.panel, "Walk to"), {
      label: "Other glyph", options, value: state.other,
      onChange: (to) => {
        state.other = Number(to);
        otherCode = encode(glyphs[state.other]);
        paintBetween();
      },
    });

    Lab.hint(first.picture, "Draw on the large picture with mouse or finger. With keys: ← → ↑ ↓ move, space applies the brush, Shift with an arrow draws. Held-out glyphs are none of those that the network learnt from. An error is the squared difference, summed over the pixels, where full ink is 1.", board);
    Lab.hint(second.picture, "Each slider changes one number of the code, and the picture is what the network decodes from it. The grey band holds two standard deviations to each side. The twelve pictures are decoded from random codes: those in the box keep each number within its range over the training glyphs, those of the Gaussian have their mean and covariance.");
    Lab.hint(third.picture, "Between codes: the network decodes a point of the straight line from one code to the other. Between pixels: one picture fades while the other appears.");

    drawAll();
    drawBetween();
    drawCodes();
    describe();
    clearTimeout(talk);
    talk = 0;
    Lab.say(sentence());
    return {
      get state() { return state; },
      get drawing() { return x; },
      get code() { return code; },
      get walk() { return walk; },
      get rebuilt() { return rebuilt; },
      get linear() { return linear; },
      get walked() { return walked; },
      get errors() { return { network: error.network, linear: error.linear }; },
      get caret() { return caret; },
      get glyphs() { return glyphs; },
      get gallery() { return gallery; },
      get order() { return order; },
      get source() { return source.value; },
      get drawn() { return drawn; },
      get between() { return between; },
    };
  }

  Lab.start((root) => {
    P.make("style", document.head, { textContent: STYLE });
    /** What the page holds now, for the tests: it is read there, never written. */
    LatentCore.page = lab(root);
  });
})();
