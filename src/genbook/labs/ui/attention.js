/* The live lab "attention": edit a sentence, see where every head of the model looks, and switch heads off.
 *
 * Tokenizer and network are gpt_core.js (GptCore), lists and bars text_page.js (TextPage). Purple, the colour of
 * attention, is where a head looks; orange is what the model expects next.
 */
(function () {
  "use strict";

  const C = GptCore, P = TextPage;
  const { make } = P;
  const { write, words, line } = Lab;
  const MOST = 40; // tokens of a sentence
  const SHOWN = 8; // bars
  const FOOT = 36; // under each small map: its name and what it looks at
  const GAP = 10;
  const SIDE = 128; // of a small map, where there is room

  const STYLE = `${P.STYLE}
.a-stage { position: relative; border: 1px solid var(--rule); border-radius: 8px; padding: 34px 8px 8px; margin: 0 0 4px; }
.a-stage > svg { position: absolute; left: 0; top: 0; width: 100%; height: 100%; pointer-events: none; }
.a-tokens { display: flex; flex-wrap: wrap; gap: 30px 4px; }
.a-tokens > div { min-width: 44px; min-height: 48px; border-radius: 6px; border: 1px solid var(--rule); padding: 3px 5px; text-align: center; cursor: pointer; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9375rem; line-height: 1.35; }
.a-tokens > .a-unseen { border-style: dashed; }
.a-tokens > div[aria-selected="true"] { border: 2px solid var(--ink); padding: 2px 4px; font-weight: 700; }
.a-tokens > div > small { display: block; font: .8125rem/1.3 Inter, system-ui, sans-serif; font-variant-numeric: tabular-nums; min-height: 1.3em; }
.a-title { font-weight: 600; margin: 16px 0 4px; max-width: none; }
.a-pair { display: grid; gap: 8px 20px; grid-template-columns: minmax(0, 1fr); margin: 8px 0 0; }
.a-pair > div { min-width: 0; }
.a-pair .t-bar { grid-template-columns: 5.4em minmax(0, 1fr) 7.8em; gap: 8px; }
.a-pair .a-title { margin-top: 6px; }
@media (min-width: 640px) { .a-pair { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); } }
`;

  const QUESTION =
    "Of all heads of this model, one looks most at the token just before. In which layer do you expect it? And if it is switched off, does the model lose more than with any other head off?";

  async function lab(root) {
    const { shape, measured, answer, sentence: given } = Lab.data;
    const { layers, heads, vocabulary, start } = shape;
    const coder = C.tokenizer(Lab.data.coder), weights = await C.unpack(Lab.data.packed);
    const reader = C.reader({ shape, weights, maps: true }), without = C.reader({ shape, weights });
    const labels = Array.from({ length: vocabulary }, (_, id) => C.label(coder, id));
    const most = Math.min(MOST, shape.context - 1);
    const name = (layer, head) => `layer ${layer + 1}, head ${head + 1}`;

    const firstHead = () => {
      const all = measured.previous.flat();
      return all.indexOf(Math.max(...all));
    };
    const state = {
      ids: [start], cut: 0, at: 0, layer: Math.floor(firstHead() / heads), head: firstHead() % heads,
      off: [], ready: false, effects: null, trying: false,
    };
    const known = []; // the law of what follows each place that the reader holds
    let laws = [], lawsOff = []; // the same for the sentence, with all heads on and as switched
    let drawn = 0;

    const title = (place) => (place === 0 ? "start" : labels[state.ids[place]]);
    const isOff = (layer, head) => state.off.some(([l, h]) => l === layer && h === head);
    const look = (to, layer = state.layer, head = state.head, from = state.at) => reader.weight(layer, head, from, to);

    /** Where a head looks from a place: the places and weights, the heaviest first. */
    function looks(layer = state.layer, head = state.head, from = state.at) {
      const all = Array.from({ length: from + 1 }, (_, to) => [to, look(to, layer, head, from)]);
      return all.sort((a, b) => b[1] - a[1] || b[0] - a[0]);
    }

    /* ==== the page's parts ================================================================================== */
    const { picture, panel } = Lab.columns(root);
    const sentence = P.box(picture, { label: "The sentence", rows: 2, value: given, onInput: () => begin() });
    const stage = make("div", picture, { className: "a-stage" });
    const svg = stage.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    svg.setAttribute("aria-hidden", "true");
    const tokens = P.listbox(stage, { label: "The tokens of the sentence", className: "t-tokens a-tokens" });
    picture.appendChild(document.getElementById("result"));
    make("p", picture, { className: "a-title", textContent: "Every head: each row is a token, each column a token that it looks at" });
    const widest = heads * (SIDE + GAP), room = Math.min(widest, picture.clientWidth);
    const grid = Lab.canvas(make("div", picture), {
      label: "A map for each head", width: widest, height: Math.round((widest * layers * (room / heads + FOOT)) / room),
      focusable: true, draw: (c, W, H) => drawGrid(c, W, H),
    });
    grid.element.classList.add("a-grid");
    const pair = make("div", picture, { className: "a-pair" });
    const left = make("div", pair), right = make("div", pair);
    const mapTitle = make("p", left, { className: "a-title" });
    const large = Lab.canvas(make("div", left), { label: "The chosen head's map", width: 400, height: 400, draw: (c, W) => drawLarge(c, W) });
    const nextTitle = make("p", right, { className: "a-title" });
    const bars = P.bars(right, { label: "The likeliest next tokens", count: SHOWN, before: "all heads on", after: "as switched" });
    const effect = make("p", right, { className: "hint" });

    /* ==== the row of tokens ================================================================================= */
    let cells = [];
    const walker = P.walk(tokens, {
      keys: { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }, onMark: (k) => moveTo(k), onChoose: () => {},
    });

    function makeTokens() {
      tokens.textContent = "";
      cells = state.ids.map((_, place) => {
        const cell = P.option(tokens, "");
        const shown = make("span", cell, { textContent: title(place) });
        return { cell, shown, share: make("small", cell) };
      });
    }

    function paintTokens() {
      cells.forEach(({ cell, share }, place) => {
        const seen = place <= state.at, weight = seen ? look(place) : 0;
        cell.classList.toggle("a-unseen", !seen);
        cell.style.background = seen ? P.tint("attention", weight) : "none";
        share.textContent = seen && weight >= 0.005 ? `${write(100 * weight, 0)} %` : "";
        cell.setAttribute("aria-label", `${title(place)}${seen ? `, ${P.percent(weight)}` : ", later, not seen"}`);
      });
      drawLines();
    }

    /** Curves from the marked token to those that the chosen head looks at: to a row above they come from below. */
    function drawLines() {
      svg.textContent = "";
      if (!state.ready) return;
      const frame = stage.getBoundingClientRect();
      const at = (place) => {
        const box = cells[place].cell.getBoundingClientRect();
        return [box.left + box.width / 2 - frame.left, box.top - frame.top, box.bottom - frame.top];
      };
      const [x, y] = at(state.at);
      for (const [place, weight] of looks()) {
        if (weight < 0.03 || place === state.at) continue;
        const [u, head, foot] = at(place), above = foot < y, v = above ? foot : head;
        const lift = above ? Math.max(12, (y - foot) / 2) : Math.min(26, 10 + Math.abs(u - x) / 8);
        const path = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
        path.setAttribute("d", `M ${x} ${y} C ${x} ${y - lift}, ${u} ${above ? v + lift : v - lift}, ${u} ${v}`);
        path.setAttribute("fill", "none");
        path.setAttribute("stroke", Lab.colour("attention"));
        path.setAttribute("stroke-width", String(1 + 6 * weight));
        path.setAttribute("stroke-opacity", String(0.3 + 0.7 * weight));
      }
    }

    /* ==== maps ============================================================================================== */
    const stamp = document.createElement("canvas");

    /** Draw a head's map at a place of a canvas: strength of colour is the root of the weight. */
    function map(c, layer, head, x, y, size) {
      const n = state.ids.length, brush = stamp.getContext("2d");
      [stamp.width, stamp.height] = [n, n];
      const image = brush.createImageData(n, n), rgb = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
      const paper = rgb(Lab.colour("paper")), full = rgb(Lab.colour("attention"));
      for (let from = 0; from < n; from += 1) {
        for (let to = 0; to < n; to += 1) {
          const share = to <= from ? Math.sqrt(look(to, layer, head, from)) : 0, at = 4 * (from * n + to);
          for (let k = 0; k < 3; k += 1) image.data[at + k] = paper[k] + share * (full[k] - paper[k]);
          image.data[at + 3] = 255;
        }
      }
      brush.putImageData(image, 0, 0);
      c.imageSmoothingEnabled = false;
      c.drawImage(stamp, x, y, size, size);
    }

    /** As much of a text as is `room` wide. */
    function fitted(c, text, room) {
      c.font = Lab.FONT;
      if (c.measureText(text).width <= room) return text;
      let cut = [...text];
      while (cut.length > 1 && c.measureText(`${cut.join("")}…`).width > room) cut = cut.slice(0, -1);
      return `${cut.join("")}…`;
    }

    const cell = (W) => Math.floor(W / heads);

    function drawGrid(c, W, H) {
      if (!state.ready) return;
      const wide = cell(W), high = H / layers, size = Math.min(wide - GAP, high - FOOT - 4), n = state.ids.length;
      for (let layer = 0; layer < layers; layer += 1) {
        for (let head = 0; head < heads; head += 1) {
          const x = head * wide + 4, y = layer * high + 4;
          map(c, layer, head, x, y, size);
          const chosen = layer === state.layer && head === state.head;
          line(c, chosen ? "attention" : "edge", chosen ? 4 : 1, () => c.rect(x - (chosen ? 1 : -0.5), y - (chosen ? 1 : -0.5), size + (chosen ? 2 : -1), size + (chosen ? 2 : -1)));
          const row = y + (state.at * size) / n;
          line(c, "ink", 1.5, () => c.rect(x, row, ((state.at + 1) * size) / n, size / n));
          if (isOff(layer, head)) {
            c.globalAlpha = 0.75;
            c.fillStyle = Lab.colour("paper");
            c.fillRect(x, y, size, size);
            c.globalAlpha = 1;
            line(c, "ink", 2, () => {
              c.moveTo(x, y);
              c.lineTo(x + size, y + size);
              c.moveTo(x + size, y);
              c.lineTo(x, y + size);
            });
          }
          const short = wide < 100, [place, weight] = looks(layer, head)[0], found = state.effects?.[layer][head];
          words(c, short ? `${layer + 1}.${head + 1}` : name(layer, head), x, y + size + 10, { colour: "ink", weight: chosen ? "700" : "" });
          const share = found === undefined && !short ? ` ${write(100 * weight, 0)} %` : "";
          const fits = wide - 4 - (share ? c.measureText(share).width : 0);
          const text = found === undefined ? `${fitted(c, `${short ? "" : "→ "}${title(place)}`, fits)}${share}` : isOff(layer, head) ? "off" : `${write(found, short ? 2 : 3)}${short ? "" : " nats"}`;
          words(c, text, x, y + size + 26, { colour: "attention" });
        }
      }
    }

    function drawLarge(c, W) {
      if (!state.ready) return;
      const n = state.ids.length, room = W < 300 ? 56 : 68, size = W - room - 4, each = size / n, x = room, y = room;
      map(c, state.layer, state.head, x, y, size);
      line(c, "edge", 1, () => c.rect(x + 0.5, y + 0.5, size - 1, size - 1));
      line(c, "ink", 1.5, () => c.rect(x, y + state.at * each, (state.at + 1) * each, each));
      const near = looks().slice(0, 3).filter(([, weight]) => weight >= 0.1).map(([to]) => to);
      const gap = Math.ceil(13 / each), chosen = new Set(near);
      const free = (list, place) => list.every((other) => Math.abs(other - place) >= gap);
      const rows = [state.at], columns = [];
      for (const place of chosen) if (free(columns, place)) columns.push(place);
      for (let place = 0; place < n; place += 1) {
        if (place !== state.at && free(rows, place)) rows.push(place);
        if (!chosen.has(place) && free(columns, place)) columns.push(place);
      }
      for (const place of rows) {
        words(c, fitted(c, title(place), room - 8), x - 5, y + (place + 0.5) * each, { align: "right", colour: place === state.at ? "ink" : "quiet", weight: place === state.at ? "700" : "" });
      }
      for (const place of columns) {
        c.save();
        c.translate(x + (place + 0.5) * each, y - 5);
        c.rotate(-Math.PI / 2);
        words(c, fitted(c, title(place), room - 8), 0, 0, { colour: chosen.has(place) ? "attention" : "quiet", weight: chosen.has(place) ? "700" : "" });
        c.restore();
      }
    }

    /* ==== what follows ====================================================================================== */
    function showNext() {
      const whole = laws[state.at], now = state.off.length ? lawsOff[state.at] : whole;
      const ids = C.top(whole, SHOWN);
      bars.show(ids.map((id) => ({ name: labels[id], before: whole[id], after: now[id] })));
      bars.head.lastChild.style.visibility = state.off.length ? "visible" : "hidden";
      nextTitle.textContent = `What follows ${state.at === 0 ? "the start" : title(state.at)}`;
      const gone = state.off.map(([l, h]) => `${l + 1}.${h + 1}`).join(", ");
      effect.textContent = state.off.length
        ? `Off: head ${gone}. The law of the next token changed by ${write(distance(whole, now), 3)} nats (Kullback–Leibler divergence, from all heads on).`
        : "All heads are on. Switch the chosen one off, and see what it was for.";
    }

    function distance(p, q) {
      let sum = 0;
      for (let id = 0; id < p.length; id += 1) sum += p[id] > 0 ? p[id] * Math.log(p[id] / q[id]) : 0;
      return Math.max(0, sum);
    }

    function targets() {
      const found = looks().filter(([, weight]) => weight >= 0.05).slice(0, 3);
      return found.map(([place, weight]) => `${place === state.at ? "itself" : title(place)} (${P.percent(weight)})`).join(", ");
    }

    function saying() {
      const whole = laws[state.at], [best] = C.top(whole, 1), from = state.at === 0 ? "The start" : `Token ${state.at}, ${title(state.at)},`;
      const seen = `${from} looks, by ${name(state.layer, state.head)}, at ${targets() || "everything a little"}.`;
      const next = ` After it the model expects ${labels[best]} most (${P.percent(whole[best])})`;
      const cut = state.cut ? ` The sentence has ${state.cut} tokens too many: the first ${most} are read.` : "";
      if (!state.off.length) return `${seen}${next}.${cut}`;
      const now = lawsOff[state.at], [other] = C.top(now, 1);
      return `${seen}${next}; as switched, ${labels[other]} (${P.percent(now[other])}).${cut}`;
    }

    function show() {
      if (!state.ready) return;
      paintTokens();
      grid.redraw();
      large.redraw();
      showNext();
      const own = isOff(state.layer, state.head);
      mapTitle.textContent = `The whole map of ${name(state.layer, state.head)}`;
      toggle.textContent = `Switch head ${state.layer + 1}.${state.head + 1} ${own ? "on" : "off"}`;
      all.disabled = !state.off.length;
      told.textContent = `On validation text it gives ${P.percent(measured.previous[state.layer][state.head])} of its weight to the token before; without it, a token costs ${write(measured.worth[state.layer][state.head], 3)} nats more.`;
      heading.value = String(state.layer * heads + state.head);
      grid.describe(`Maps of ${layers} layers of ${heads} heads; chosen is ${name(state.layer, state.head)}. ${saying()}`);
      large.describe(`Map of ${name(state.layer, state.head)} over ${state.ids.length} tokens. From ${title(state.at)} it looks at ${targets() || "everything a little"}.`);
      Lab.say(saying());
      drawn += 1;
    }

    function moveTo(place) {
      if (!state.ready) return;
      state.at = place;
      clearEffects();
      walker.mark(place);
      show();
    }

    function choose(layer, head) {
      [state.layer, state.head] = [layer, head];
      show();
    }

    /* ==== reading =========================================================================================== */
    let asked = 0;

    async function readOff(mine) {
      without.off = state.off;
      const found = [];
      if (state.off.length) {
        const done = await P.readSlowly(without, state.ids, (place, z) => {
          found[place] = C.softmax(z, new Float64Array(vocabulary));
        }, () => mine === asked);
        if (!done) return false;
      }
      lawsOff = found;
      return true;
    }

    /** Read the sentence in the box: what has changed, and what follows it. */
    async function begin() {
      const mine = (asked += 1), all = coder.encode(sentence.value), ids = [start, ...all.slice(0, most)];
      const kept = state.ids.length === state.at + 1 ? ids.length - 1 : Math.min(state.at, ids.length - 1);
      state.ready = false;
      state.trying = false;
      const done = await P.readSlowly(reader, ids, (place, z) => {
        known[place] = C.softmax(z, new Float64Array(vocabulary));
      }, () => mine === asked);
      if (!done) return;
      Object.assign(state, { ids, cut: Math.max(0, all.length - most), at: kept });
      laws = known.slice(0, ids.length);
      if (!(await readOff(mine))) return;
      state.effects = null;
      makeTokens();
      state.ready = true;
      walker.mark(state.at);
      show();
    }

    async function switchHeads(off) {
      const mine = (asked += 1);
      state.off = off;
      clearEffects();
      state.ready = false;
      if (!(await readOff(mine))) return;
      state.ready = true;
      show();
    }

    function flip() {
      if (!state.ready) return;
      const { layer, head } = state;
      switchHeads(isOff(layer, head) ? state.off.filter(([l, h]) => l !== layer || h !== head) : [...state.off, [layer, head]]);
    }

    function clearEffects() {
      state.effects = null;
      state.trying = false;
    }

    /** Switch off each head in turn, and note how far the law of what follows the marked token changes. */
    async function tryEach() {
      if (!state.ready || state.trying) return;
      const mine = asked, { at } = state, window = state.ids.slice(0, at + 1), effects = [];
      state.trying = true;
      for (let layer = 0; layer < layers; layer += 1) {
        effects.push([]);
        for (let head = 0; head < heads; head += 1) {
          without.off = [...state.off, [layer, head]];
          const base = state.off.length ? lawsOff[at] : laws[at];
          const z = await P.readSlowly(without, window, null, () => mine === asked && state.trying);
          if (!z) return;
          effects[layer].push(distance(base, C.softmax(z, new Float64Array(vocabulary))));
          await P.breath();
          if (mine !== asked || !state.trying) return;
        }
      }
      state.effects = effects;
      state.trying = false;
      show();
      const flat = effects.flat(), best = flat.indexOf(Math.max(...flat));
      Lab.say(`Switched off alone, ${name(Math.floor(best / heads), best % heads)} changes what follows ${title(at)} most: by ${write(flat[best], 3)} nats. The number of each head stands under its map.`);
    }

    /* ==== controls ========================================================================================== */
    grid.element.addEventListener("click", ({ offsetX, offsetY }) => { // a click, so that a finger can still scroll
      const head = Math.floor(offsetX / cell(grid.width)), layer = Math.floor(offsetY / (grid.height / layers));
      if (state.ready && head < heads && layer < layers) choose(layer, head);
    });
    const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    grid.element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const move = MOVES[event.key];
      if (!move && event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      if (!state.ready) return;
      if (!move) flip();
      else choose(Math.min(Math.max(state.layer + move[0], 0), layers - 1), Math.min(Math.max(state.head + move[1], 0), heads - 1));
    });

    Lab.predict(panel, [QUESTION, answer]);
    const one = Lab.group(panel, "The chosen head");
    const heading = Lab.choice(one, {
      label: "Head", value: String(state.layer * heads + state.head),
      options: Array.from({ length: layers * heads }, (_, k) => ({ value: String(k), label: name(Math.floor(k / heads), k % heads) })),
      onChange: (to) => choose(Math.floor(Number(to) / heads), Number(to) % heads),
    });
    const told = make("p", one, { className: "hint" });
    const toggle = Lab.button(one, "Switch it off", flip);
    const all = Lab.button(one, "All heads on", () => state.ready && switchHeads([]));
    const many = Lab.group(panel, "Which head matters here?");
    Lab.button(many, "Switch off each in turn", tryEach);
    make("p", many, { className: "hint", textContent: "The number under each map then says how far the law of the next token moves, in nats, when that head alone falls silent." });

    Lab.hint(picture, "Point at a token, tap it, or walk there by arrow keys: its row is framed in every map. A click on a map, or arrow keys in the grid, choose a head; Enter switches it off. The strength of colour is the root of the weight. Before everything stands the start token; heads that find nothing often look there.", grid);
    Lab.hint(picture, `A head that is off adds nothing to the stream of numbers that passes through the model. The weights are rounded to ${2 * Lab.data.levels + 1} levels, one scale a row, so that the page stays small.`);

    new ResizeObserver(drawLines).observe(stage);
    Lab.onTheme(() => state.ready && paintTokens());
    await begin();
    return {
      get state() { return state; },
      get laws() { return laws; },
      get lawsOff() { return lawsOff; },
      get drawn() { return drawn; },
      get lines() { return svg.childElementCount; },
      look, looks, coder, reader, labels, measured,
    };
  }

  Lab.start(async (root) => {
    make("style", document.head, { textContent: STYLE });
    /** What the page holds now, for the tests: it is read there, never written. */
    GptCore.page = await lab(root);
  });
})();
