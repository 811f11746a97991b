/* The live lab "vaes": drag through the plane of codes, then add one style's code to a letter of another.
 *
 * The networks are the decoders of the two shipped variational autoencoders of letters, the letters' codes come from
 * their encoders; the rest of the arithmetic is latent_core.js (LatentCore), the furniture latent_page.js
 * (LatentPage). Blue are real letters and their codes, orange is what a decoder or arithmetic makes, grey the prior.
 */
(function () {
  "use strict";

  const C = LatentCore, P = LatentPage;
  const { make, words, line, disc } = P;
  const { SIDE, clamp } = C;
  const { write } = Lab;
  const CELLS = 15; // pictures of the map, each way
  const REACH = 4; // of the map that is even in z
  const STEP = 0.05; // in z, to each side, when the change of the picture is measured
  const MASSES = [0.5, 0.9, 0.99]; // of the prior within its rings
  const POINTS = 21; // of the curves of errors
  const RANGES = { style: [-0.5, 1.5], letter: [0, 1] }; // of the amount

  const STYLE = `
.v-plane { display: grid; gap: 8px 20px; grid-template-columns: minmax(0, 1fr); }
.v-plane > div, .v-four > div { min-width: 0; }
.v-side { display: grid; gap: 8px 16px; grid-template-columns: 1fr 1fr; }
.v-side > div { min-width: 0; }
.v-four { display: grid; gap: 8px 16px; grid-template-columns: 1fr 1fr; }
.v-amount { margin-top: 12px; }
.v-amount > .control { max-width: none; }
.v-curve { margin-top: 12px; }
@media (min-width: 600px) {
  .v-plane { grid-template-columns: minmax(0, 11fr) minmax(0, 5fr); }
  .v-side { grid-template-columns: minmax(0, 1fr); align-content: start; }
  .v-four { grid-template-columns: repeat(4, minmax(0, 1fr)); }
}
`;

  const QUESTION =
    "Encode the 52 sans letters, and their bold forms. Average the difference of the codes over 51 letters, add it to the code of the letter left out, and decode. Will that come nearer to the true bold letter than the same arithmetic on the pixels? And for italics, or for monospace?";

  /** What runs beside the page: batches of codes to pictures, and their squared errors. */
  function helperWork(GB) {
    const networks = {};
    let known = [];
    return ({ name, spec, weights, pictures, codes, latent, faded, against }) => {
      if (spec) networks[name] = GB.sequential(spec, weights);
      if (pictures) known = pictures;
      if (!codes) return null;
      const made = LatentCore.inks(networks[name](GB.tensor([codes.length / latent, latent], codes)));
      if (!faded) return { made };
      const error = (x) => (against ? LatentCore.squaredError(x, against) : LatentCore.fromTheNearest(x, known));
      return { errors: made.map(error), fadedErrors: faded.map(error) };
    };
  }

  function lab(root) {
    const networks = { plane: Lab.network("plane"), letters: Lab.network("letters") };
    const codes = GB.load(Lab.data.codes);
    const { names, styles, seen } = Lab.data;
    const pictures = C.pictures(Lab.data.pictures);
    const wide = { plane: 2, letters: codes.letters.shape[2] };
    const pictureOf = (letter, style) => pictures[letter * styles.length + style];
    const isSeen = (letter, style) => seen[letter][style] === "1";
    const title = (letter, style) => `${names[letter]}, ${styles[style]}`;
    const decode = (which, z) => C.inks(networks[which](GB.tensor([1, wide[which]], z)))[0];

    const helper = GB.worker(helperWork, { scripts: [document.getElementById("script-latent_core").textContent] });
    for (const name of Object.keys(networks)) {
      helper.call({ name, spec: Lab.data.networks[name], weights: Lab.weights(name) });
    }
    helper.call({ pictures });

    const state = { z: [0, 0], axes: "z", dots: true, marked: -1 };
    /** The letters of the plane: where each lies, and whether training had it. */
    const dots = pictures.map((_, i) => ({
      z: [codes.plane.data[2 * i], codes.plane.data[2 * i + 1]],
      letter: Math.floor(i / styles.length), style: i % styles.length,
    }));
    const training = dots.filter(({ letter, style }) => isSeen(letter, style));
    let shown = null; // the decoded picture at z
    let change = null; // how the picture changes there; null until it is measured
    let hovered = null;
    let drawn = 0;

    /* ==== the plane ========================================================================================= */
    const first = Lab.columns(root);
    const pair = make("div", first.picture, { className: "v-plane" });
    const map = Lab.canvas(make("div", pair), {
      label: "The plane of codes", width: 480, height: 480, focusable: true,
      draw: (c, W, H) => drawMap(c, W, H),
    });
    map.element.classList.add("v-map");
    const aside = make("div", pair, { className: "v-side" });
    const large = P.plate(aside, { label: "The decoded picture", size: 220 });
    const nearest = P.plate(aside, { label: "The nearest training letter", size: 160 });
    first.picture.appendChild(document.getElementById("result"));

    /** From a number of z to a share of the map's side, and back. */
    const AXES = {
      z: { to: (v) => (v + REACH) / (2 * REACH), from: (u) => (2 * u - 1) * REACH },
      chance: { to: C.chance, from: (u) => C.quantile(clamp(u, 0.001, 0.999)) },
    };
    const axis = () => AXES[state.axes];
    const place = (z, size) => [axis().to(z[0]) * size, (1 - axis().to(z[1])) * size];

    const MAP = CELLS * SIDE;
    const tiles = { z: null, chance: null }; // ink of the whole map, once it has been asked for
    const backdrop = document.createElement("canvas");
    let [stale, filled] = [true, 0];

    /** Let the helper decode the map of these axes, row by row from the middle, unless it is there. */
    async function fill(axes) {
      if (tiles[axes]) return;
      const ink = (tiles[axes] = new Float32Array(MAP * MAP));
      const at = (k) => AXES[axes].from((k + 0.5) / CELLS);
      const middle = (CELLS - 1) / 2, rows = Array.from({ length: CELLS }, (_, row) => row);
      for (const row of rows.sort((i, j) => Math.abs(i - middle) - Math.abs(j - middle))) {
        const z = new Float32Array(2 * CELLS);
        for (let column = 0; column < CELLS; column += 1) z.set([at(column), at(CELLS - 1 - row)], 2 * column);
        const { made } = await helper.call({ name: "plane", codes: z, latent: 2 });
        made.forEach((one, column) => {
          for (let r = 0; r < SIDE; r += 1) ink.set(one.subarray(r * SIDE, (r + 1) * SIDE), (row * SIDE + r) * MAP + column * SIDE);
        });
        filled += 1;
        stale = true;
        map.redraw();
      }
    }

    let painted = ""; // the colours of the backdrop
    function drawMap(c, W) {
      const ink = tiles[state.axes], colours = Lab.colour("model") + Lab.colour("paper") + state.axes;
      if (ink) {
        if (stale || painted !== colours) P.bitmap(ink, MAP, "model", 0.7, backdrop);
        [stale, painted] = [false, colours];
        c.imageSmoothingEnabled = true;
        c.drawImage(backdrop, 0, 0, W, W);
      }
      const tops = MASSES.map((mass) => {
        const radius = Math.sqrt(-2 * Math.log(1 - mass));
        let top = null;
        line(c, "noise", 1.5, () => {
          for (let k = 0; k <= 90; k += 1) {
            const angle = (k * Math.PI) / 45, at = place([radius * Math.sin(angle), radius * Math.cos(angle)], W);
            if (k) c.lineTo(...at);
            else c.moveTo(...(top = at));
          }
        }, [5, 4]);
        return top;
      });
      if (state.dots) {
        const radius = W < 420 ? 1.5 : 2;
        for (const one of training) {
          const [x, y] = place(one.z, W);
          if (x < 0 || y < 0 || x > W || y > W) continue;
          disc(c, "paper", x, y, radius + 0.7);
          disc(c, "data", x, y, radius);
        }
      }
      tops.forEach(([x, y], k) => y > 12 && label(c, `${write(100 * MASSES[k], 0)} %`, x, y, "ink"));
      label(c, "z₁ →", W - 20, W - 11, "ink");
      label(c, "z₂ ↑", 20, 11, "ink");
      if (state.marked >= 0) {
        for (const one of training) {
          const [x, y] = place(one.z, W);
          if (one.letter === state.marked && x > 0 && y > 0 && x < W && y < W) label(c, names[one.letter], x, y, "data", 15);
        }
      }
      const [x, y] = place(state.z, W);
      if (change) {
        const reach = 0.3, [dx, dy] = [reach * Math.cos(change.angle), reach * Math.sin(change.angle)];
        const from = place([state.z[0] - dx, state.z[1] - dy], W), to = place([state.z[0] + dx, state.z[1] + dy], W);
        line(c, "paper", 5, () => { c.moveTo(...from); c.lineTo(...to); });
        line(c, "attention", 2.5, () => { c.moveTo(...from); c.lineTo(...to); });
      }
      disc(c, "paper", x, y, 9);
      disc(c, "attention", x, y, 7);
      disc(c, "paper", x, y, 2.5);
      if (hovered) {
        const [left, top] = place(hovered.z, W);
        label(c, title(hovered.letter, hovered.style), clamp(left, 70, W - 70), clamp(top - 14, 10, W - 10), "data");
      }
      line(c, "edge", 1, () => c.rect(0.5, 0.5, W - 1, W - 1));
    }

    /** A word with paper behind it. */
    function label(c, text, x, y, colour, size = 12) {
      c.font = `600 ${P.FONT.replace(/^\d+/, size)}`;
      const half = c.measureText(text).width / 2 + 2;
      c.globalAlpha = 0.85;
      c.fillStyle = Lab.colour("paper");
      c.fillRect(x - half, y - 0.55 * size, 2 * half, 1.1 * size);
      c.globalAlpha = 1;
      c.fillStyle = Lab.colour(colour);
      c.textAlign = "center";
      c.textBaseline = "middle";
      c.fillText(text, x, y);
    }

    /* ---- what is to be seen there ---- */
    const density = () => Math.exp(-(state.z[0] ** 2 + state.z[1] ** 2) / 2);
    const distance = (one) => Math.hypot(one.z[0] - state.z[0], one.z[1] - state.z[1]);
    const closest = () => training.reduce((best, one) => (distance(one) < distance(best) ? one : best));

    function sentence() {
      const one = closest();
      const speed = change ? ` Here, for each unit of z, the picture changes by up to ${write(change.most, 1)} of ink, and at right angles to that direction by ${write(change.least, 1)}.` : "";
      const outside = 100 * density();
      return `z = (${write(state.z[0], 2)}, ${write(state.z[1], 2)}): prior density ${write(density() / (2 * Math.PI), 3)}; ${outside < 0.1 ? "less than 0.1" : write(outside, outside < 1 ? 1 : 0)} % of the prior’s codes lie farther out. Nearest training letter: ${title(one.letter, one.style)}.${speed}`;
    }

    const around = () => Float32Array.from([[STEP, 0], [-STEP, 0], [0, STEP], [0, -STEP]].flatMap(([a, b]) => [state.z[0] + a, state.z[1] + b]));

    let talk = 0;
    function tell() {
      clearTimeout(talk);
      talk = setTimeout(async () => {
        const [z, asked] = [state.z, around()];
        const { made } = await helper.call({ name: "plane", codes: asked, latent: 2 });
        if (z !== state.z) return; // the point has gone on
        change = C.stretch(made, STEP);
        map.redraw();
        describe();
        Lab.say(sentence());
      }, 150);
    }

    function describe() {
      const one = closest();
      map.describe(`Plane of codes under a map of decoded pictures. ${sentence()}`);
      large.describe(`Decoded picture at z = (${write(state.z[0], 2)}, ${write(state.z[1], 2)}).`);
      nearest.describe(`The training letter whose code is nearest: ${title(one.letter, one.style)}.`);
    }

    function drawPoint() {
      const one = closest();
      large.show({ ink: shown, meaning: "model", name: "decoded", note: `z = (${write(state.z[0], 2)}, ${write(state.z[1], 2)})` });
      nearest.show({ ink: pictureOf(one.letter, one.style), meaning: "data", name: "nearest letter", note: title(one.letter, one.style) });
      map.redraw();
      drawn += 1;
    }
    const paintPoint = P.painter(() => {
      shown = decode("plane", state.z);
      drawPoint();
      tell();
    });

    function moveTo(z) {
      state.z = z.map((v) => clamp(v, -REACH, REACH));
      change = null;
      paintPoint();
    }

    const zAt = ({ x, y }) => [axis().from(clamp(x / map.width, 0, 1)), axis().from(clamp(1 - y / map.width, 0, 1))];
    Lab.pointer(map, {
      down: (point) => {
        hovered = null;
        moveTo(zAt(point));
      },
      move: (point) => moveTo(zAt(point)),
      hover: ({ x, y }) => {
        const near = (one) => {
          const [left, top] = place(one.z, map.width);
          return Math.hypot(left - x, top - y);
        };
        const best = training.reduce((found, one) => (near(one) < near(found) ? one : found));
        const now = near(best) < 8 ? best : null;
        if (now === hovered) return;
        hovered = now;
        map.redraw();
      },
    });
    const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    map.element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const move = MOVES[event.key], by = event.shiftKey ? 0.5 : 0.1;
      if (!move && event.key !== "Home") return;
      event.preventDefault();
      moveTo(move ? state.z.map((v, k) => Math.round(100 * (v + by * move[k])) / 100) : [0, 0]);
    });

    /* ==== arithmetic between styles ========================================================================= */
    make("h2", root, { textContent: "Arithmetic between styles" });
    const second = Lab.columns(root);
    const sum = { mode: "style", letter: names.indexOf("R"), style: styles.indexOf("sans"), target: styles.indexOf("sans bold"), other: names.indexOf("K"), amount: 1 };
    const four = make("div", second.picture, { className: "v-four" });
    const [begin, byCodes, byPixels, end] = ["The letter", "By codes", "By pixels", "The letter that is aimed at"]
      .map((text) => P.plate(four, { label: text, size: 170 }));
    const sliding = make("div", second.picture, { className: "v-amount" });
    const curve = Lab.canvas(make("div", second.picture, { className: "v-curve" }), {
      label: "The error over the amount", width: 720, height: 190, keepHeight: true,
      draw: (c, W, H) => drawCurve(c, W, H),
    });
    const said = make("p", second.picture, { className: "said" });
    said.setAttribute("aria-live", "polite");

    const codeOf = (letter, style) => C.codeOf(codes.letters, letter, style);
    let way = null; // {code, ink}: the differences that the amount multiplies
    let found = null; // {coded, faded} at the amount
    let curves = null; // {errors, fadedErrors, of}
    const aim = () => (sum.mode === "style" ? { letter: sum.letter, style: sum.target } : { letter: sum.other, style: sum.target });
    const target = () => pictureOf(aim().letter, aim().style);
    const origin = () => ({ code: codeOf(sum.letter, sum.style), ink: pictureOf(sum.letter, sum.style) });

    /** The result by codes and by pixels at an amount; the decoder is left to whoever asks. */
    function at(amount) {
      const { code, ink } = origin();
      return { code: C.moved(code, way.code, amount), faded: C.cut(C.moved(ink, way.ink, amount)) };
    }

    function choose() {
      const from = origin();
      if (sum.mode === "style") {
        way = {
          code: C.difference(codeOf, names.length, sum.letter, sum.style, sum.target),
          ink: C.difference(pictureOf, names.length, sum.letter, sum.style, sum.target),
        };
      } else {
        const { letter, style } = aim();
        way = { code: C.moved(codeOf(letter, style), from.code, -1), ink: C.moved(pictureOf(letter, style), from.ink, -1) };
      }
      measureCurve();
      paintSum();
    }

    const measureAgainst = () => (sum.mode === "style" ? target() : null);
    const errorOf = (x) => (sum.mode === "style" ? C.squaredError(x, target()) : C.fromTheNearest(x, pictures));
    const amountAt = (k) => RANGES[sum.mode][0] + (k / (POINTS - 1)) * (RANGES[sum.mode][1] - RANGES[sum.mode][0]);

    let asked = 0;
    async function measureCurve() {
      const mine = (asked += 1);
      curves = null;
      const all = Array.from({ length: POINTS }, (_, k) => at(amountAt(k)));
      const flat = new Float32Array(POINTS * wide.letters);
      all.forEach(({ code }, k) => flat.set(code, k * wide.letters));
      const { errors, fadedErrors } = await helper.call({
        name: "letters", codes: flat, latent: wide.letters, faded: all.map(({ faded }) => faded), against: measureAgainst(),
      });
      if (mine !== asked) return;
      curves = { errors, fadedErrors };
      curve.redraw();
    }

    function drawCurve(c, W, H) {
      if (!found) return;
      const left = 44, right = W - 8, top = 34, bottom = H - 34, [low, high] = RANGES[sum.mode];
      const greatest = Math.max(5, ...(curves ? [...curves.errors, ...curves.fadedErrors] : []), found.error, found.fadedError) * 1.08;
      const X = (v) => left + ((v - low) / (high - low)) * (right - left), Y = (v) => bottom - (v / greatest) * (bottom - top);
      const what = sum.mode === "style" ? `squared error against the true ${title(aim().letter, aim().style)}` : "squared distance from the nearest real letter";
      words(c, what, 0, 10, { weight: "600", colour: "ink" });
      line(c, "edge", 1, () => {
        c.moveTo(left, top);
        c.lineTo(left, bottom);
        c.lineTo(right, bottom);
      });
      const unit = [1, 2, 5, 10, 20, 50, 100].find((u) => greatest / u <= 5) ?? 200;
      for (let v = 0; v <= greatest; v += unit) words(c, write(v, 0), left - 6, Y(v), { align: "right" });
      for (let k = 0; k <= 4; k += 1) {
        const v = low + (k / 4) * (high - low);
        words(c, write(v, 2), clamp(X(v), left + 10, right - 12), bottom + 12, { align: "center" });
      }
      words(c, sum.mode === "style" ? "amount of the style" : "share of the other letter", (left + right) / 2, H - 8, { align: "center" });
      line(c, "attention", 1.5, () => {
        c.moveTo(X(sum.amount), top);
        c.lineTo(X(sum.amount), bottom);
      });
      const lines = [["errors", "by codes", [], "error"], ["fadedErrors", "by pixels", [6, 4], "fadedError"]];
      for (const [kind, , dash, now] of lines) {
        if (curves) line(c, "model", 2, () => curves[kind].forEach((v, k) => (k ? c.lineTo : c.moveTo).call(c, X(amountAt(k)), Y(v))), dash);
        disc(c, "model", X(sum.amount), Y(found[now]), 5);
      }
      let right2 = right;
      for (const [, name, dash] of lines.slice().reverse()) { // a legend: the same colour, another stroke
        right2 -= words(c, name, right2, 24, { align: "right", colour: "model" }) + 6;
        const [from, to] = [right2 - 24, right2];
        line(c, "model", 2, () => { c.moveTo(from, 24); c.lineTo(to, 24); }, dash);
        right2 = from - 14;
      }
    }

    function sumText() {
      const a = aim(), aimed = title(a.letter, a.style), held = isSeen(a.letter, a.style) ? "" : " Training never had this picture.";
      if (sum.mode === "style") {
        const nothing = C.squaredError(origin().ink, target());
        return `${title(sum.letter, sum.style)}, plus ${write(sum.amount, 2)} times the difference between ${styles[sum.style]} and ${styles[sum.target]} in the other 51 letters. Squared error against the true ${aimed}: ${write(found.error, 1)} by codes, ${write(found.fadedError, 1)} by pixels; the letter as it was: ${write(nothing, 1)}.${held}`;
      }
      return `${write(100 * sum.amount, 0)} % of the way from ${title(sum.letter, sum.style)} to ${aimed}. Squared distance from the nearest of all real letters: ${write(found.error, 1)} between the codes, ${write(found.fadedError, 1)} between the pixels.`;
    }

    let speech = 0;
    function speakSum() {
      if (speech) return;
      speech = setTimeout(() => {
        speech = 0;
        describeSum();
      }, 300);
    }

    function describeSum() {
      said.textContent = sumText();
      begin.describe(`Real letter ${title(sum.letter, sum.style)}.`);
      end.describe(`Real letter ${title(aim().letter, aim().style)}.`);
      byCodes.describe(`Decoded, error ${write(found.error, 1)}.`);
      byPixels.describe(`Pixels, error ${write(found.fadedError, 1)}.`);
      curve.describe(`Errors over the amount; at ${write(sum.amount, 2)} it is ${write(found.error, 1)} by codes and ${write(found.fadedError, 1)} by pixels.`);
    }

    function drawSum() {
      const { code, faded } = at(sum.amount), coded = decode("letters", code), a = aim();
      found = { code, coded, faded, error: errorOf(coded), fadedError: errorOf(faded) };
      begin.show({ ink: origin().ink, meaning: "data", name: title(sum.letter, sum.style), note: "real" });
      byCodes.show({ ink: coded, meaning: "model", name: "by codes", note: `error ${write(found.error, 1)}` });
      byPixels.show({ ink: faded, meaning: "model", name: "by pixels", note: `error ${write(found.fadedError, 1)}` });
      end.show({ ink: target(), meaning: "data", name: title(a.letter, a.style), note: isSeen(a.letter, a.style) ? "real" : "real, held out" });
      curve.redraw();
      speakSum();
      drawn += 1;
    }
    const paintSum = P.painter(drawSum);

    /* ==== controls ========================================================================================== */
    Lab.predict(first.panel, [QUESTION, Lab.data.answer]);
    const picture = Lab.group(first.panel, "Map");
    Lab.segments(picture, {
      label: "Axes", options: [["z", "z from −4 to 4"], ["chance", "Quantiles of the prior"]], value: state.axes,
      onChange: (to) => {
        state.axes = to;
        stale = true;
        fill(to);
        paintPoint();
      },
    });
    Lab.toggle(picture, {
      label: "Codes of training letters", value: state.dots,
      onChange: (on) => {
        state.dots = on;
        map.redraw();
      },
    });
    Lab.choice(picture, {
      label: "Mark one letter", options: [{ value: -1, label: "none" }, ...names.map((label, value) => ({ value, label }))], value: -1,
      onChange: (to) => {
        state.marked = Number(to);
        map.redraw();
      },
    });
    const point = Lab.group(first.panel, "Point");
    const random = GB.random(1);
    Lab.button(point, "Draw z from the prior", () => moveTo([random.normal(), random.normal()]));
    Lab.button(point, "Middle", () => moveTo([0, 0]));

    const modes = Lab.group(second.panel, "Arithmetic");
    const named = (list) => list.map((text, value) => ({ value, label: text }));
    Lab.segments(modes, {
      label: "What changes", options: [["style", "The style"], ["letter", "The letter"]], value: sum.mode,
      onChange: (to) => {
        sum.mode = to;
        other.element.hidden = to === "style";
        [amount.input.min, amount.input.max] = RANGES[to];
        sum.amount = amount.value = to === "style" ? 1 : 0.5;
        choose();
      },
    });
    const pick = (key, text, list) => Lab.choice(modes, {
      label: text, options: named(list), value: sum[key],
      onChange: (to) => {
        sum[key] = Number(to);
        choose();
      },
    });
    pick("letter", "Letter", names);
    pick("style", "Its style", styles);
    const other = pick("other", "Other letter", names);
    other.element.hidden = true;
    pick("target", "Style that is aimed at", styles);
    const amount = Lab.slider(sliding, {
      label: "Amount", min: RANGES.style[0], max: RANGES.style[1], step: 0.05, value: sum.amount, format: (v) => write(v, 2),
      onInput: (to) => {
        sum.amount = to;
        paintSum();
      },
    });

    Lab.hint(first.picture, "Drag through the map, or press the arrow keys (Shift: larger steps, Home: the middle). Each picture of the map is decoded at its middle; blue dots are the codes of training letters, and the mouse over one names it. The rings hold 50, 90 and 99 % of the prior. The line through the point shows the direction in which the picture changes most, and the change is a distance in ink: the root of the squared error.", map);
    Lab.hint(second.picture, "The difference between two styles is averaged over the 51 letters other than yours: yours is not looked at. By pixels, the same is done to the pictures themselves. From letter to letter, the way is the straight line between the two codes, or the two pictures.");

    shown = decode("plane", state.z);
    change = C.stretch(C.inks(networks.plane(GB.tensor([4, 2], around()))), STEP);
    drawPoint();
    describe();
    Lab.say(sentence());
    choose();
    drawSum();
    describeSum();
    fill(state.axes);
    return {
      get state() { return state; },
      get shown() { return shown; },
      get change() { return change; },
      get training() { return training; },
      get hovered() { return hovered; },
      get filled() { return filled; },
      get tiles() { return tiles; },
      get sum() { return sum; },
      get found() { return found; },
      get curves() { return curves; },
      get pictures() { return pictures; },
      get drawn() { return drawn; },
      amountAt,
    };
  }

  Lab.start((root) => {
    P.make("style", document.head, { textContent: STYLE });
    /** What the page holds now, for the tests: it is read there, never written. */
    LatentCore.page = lab(root);
  });
})();
