/* The live lab "gpt": the chapter's model goes on with the reader's text, token by token, and shows what it weighs.
 *
 * Tokenizer, network and rules of sampling are gpt_core.js (GptCore), lists and bars text_page.js (TextPage). Blue is
 * the text that was given, orange what the model says; how strong a token's ground is tells how likely it was.
 */
(function () {
  "use strict";

  const C = GptCore, P = TextPage;
  const { make } = P;
  const { write, words, line } = Lab;
  const RATES = [1, 2, 4, 8, 15, 30, 60]; // tokens a second
  const LIMIT = 400; // tokens that the model writes before it rests
  const KEPT = [1, 2, 3, 5, 10, 20, 50, 100, 200]; // of top-k; one more place of the slider is all
  const SHOWN = 10; // bars
  const TIMED = { cached: 16, plain: 6 }; // tokens that a measurement takes each way

  const STYLE = `${P.STYLE}
.g-text { border: 1px solid var(--rule); border-radius: 8px; padding: 8px 10px; margin: 0 0 4px; height: 11.5em; overflow-y: auto; overflow-wrap: anywhere; white-space: pre-wrap; line-height: 1.7; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9375rem; }
.g-text > div { display: inline; padding: 2px 0; border-radius: 3px; box-decoration-break: clone; -webkit-box-decoration-break: clone; box-shadow: inset 1px 0 0 var(--paper); }
.g-text > .g-written { cursor: pointer; }
.g-text > [aria-selected="true"] { outline: 2px solid var(--ink); outline-offset: 0; }
.g-text > .t-part { font-size: .75rem; }
.g-told { min-height: 3em; margin: 0 0 8px; color: var(--quiet); font-size: .9375rem; }
.g-scale { display: inline-flex; align-items: center; gap: 6px; }
.g-scale > i { display: inline-block; width: 18px; height: 14px; }
.g-run { margin: 8px 0 12px; }
.g-title { font-weight: 600; margin: 14px 0 4px; max-width: none; }
@media (max-width: 480px) { .g-told { min-height: 4.5em; } }
`;

  const QUESTION =
    "Set the temperature to 0: the model always takes the likeliest token. Will that text cost fewer or more nats a character than what it draws at temperature 1, and will it be better text? Then press Reset and Play, and try.";

  async function lab(root) {
    const { shape, prompts, nats, answer, parameters } = Lab.data;
    const coder = C.tokenizer(Lab.data.coder);
    const reader = C.reader({ shape, weights: await C.unpack(Lab.data.packed) });
    const rules = { temperature: 1, topK: shape.vocabulary, nucleus: 1, minP: 0 };
    const before = new Float64Array(shape.vocabulary), after = new Float64Array(shape.vocabulary);
    const logits = new Float64Array(shape.vocabulary), changed = new Float64Array(shape.vocabulary);
    const labels = Array.from({ length: shape.vocabulary }, (_, id) => C.label(coder, id));

    /** The text: all tokens from the start token on, how many of them the prompt has, and the log-probability of each. */
    const text = { ids: [shape.start], prompt: 1, logs: [NaN] };
    const state = { rate: RATES[2], cache: true, seed: 1, ready: false, measured: null, marked: -1, milliseconds: NaN };
    let chances = []; // the seed's numbers in [0, 1): token k after the prompt is drawn by the k-th
    let random = GB.random(state.seed);
    let shown = []; // the tokens in the bars
    let drawn = 0;
    let loop = null;

    const written = () => text.ids.length - text.prompt;
    const seen = () => text.ids.slice(C.begin(text.prompt, text.ids.length, shape.context));
    function chance(k) {
      while (chances.length <= k) chances.push(random.uniform());
      return chances[k];
    }

    /* ==== the page's parts ================================================================================== */
    const { picture, panel } = Lab.columns(root);
    const examples = Lab.choice(Lab.row(picture), {
      label: "Examples", options: [...prompts, { value: "", label: "your own text" }], value: prompts[0],
      onChange: (to) => {
        prompt.value = to;
        if (to === "") prompt.input.focus();
        begin();
      },
    });
    const prompt = P.box(picture, {
      label: "The text that is given", rows: 2, value: prompts[0],
      onInput: (to) => {
        examples.value = prompts.includes(to) ? to : "";
        loop.pause();
        begin();
      },
    });
    const scale = make("div", picture, { className: "t-legend" });
    const tokens = P.listbox(picture, { label: "The text, token by token", className: "t-tokens g-text" });
    const told = make("p", picture, { className: "g-told" });
    const controls = make("div", picture, { className: "row" });
    picture.appendChild(document.getElementById("result"));
    make("p", picture, { className: "g-title", textContent: "What comes next: the ten likeliest tokens" });
    const bars = P.bars(picture, {
      label: "The ten likeliest next tokens. Enter takes the marked one.", count: SHOWN, before: "by the model",
      after: "after the rules", onChoose: (k) => take(shown[k], true),
    });
    const rest = make("p", picture, { className: "hint" });
    const run = Lab.canvas(make("div", picture, { className: "g-run" }), {
      label: "Nats a character", width: 720, height: 200, keepHeight: true, draw: (c, W, H) => drawRun(c, W, H),
    });

    function drawScale() {
      scale.textContent = "";
      for (const [meaning, name] of [["data", "given"], ["model", "written by the model"]]) {
        const one = make("span", scale, { className: "g-scale" });
        one.append(`${name}: `);
        for (const share of [0, 0.25, 0.5, 0.75, 1]) make("i", one).style.background = P.tint(meaning, share);
      }
      make("span", scale, { textContent: "pale: a surprise; strong: expected" });
    }

    /* ==== the text ========================================================================================== */
    let cells = []; // one for each token after the start token

    function paintToken(index) {
      const cell = cells[index - 1], meaning = index < text.prompt ? "data" : "model";
      const p = Math.exp(text.logs[index]);
      cell.style.background = Number.isNaN(p) ? "none" : P.tint(meaning, p);
      cell.setAttribute("aria-label", Number.isNaN(p) ? labels[text.ids[index]] : `${labels[text.ids[index]]}, ${P.percent(p)}`);
    }

    /** Bring the row of tokens in step with the text: what stays is not made anew. */
    function showText(from = cells.length) {
      while (cells.length > Math.min(from, text.ids.length - 1)) cells.pop().remove();
      const pieces = coder.pieces(text.ids.slice(1), true);
      for (let index = cells.length + 1; index < text.ids.length; index += 1) {
        const cell = P.option(tokens, index < text.prompt ? "g-given" : "g-written"), piece = pieces[index - 1];
        if (piece === "") cell.classList.add("t-part");
        cell.textContent = piece === "" ? "·" : piece; // a character of several tokens stands with the last of them
        cells.push(cell);
        paintToken(index);
      }
      tokens.scrollTop = tokens.scrollHeight;
    }

    function tell(index) {
      const p = Math.exp(text.logs[index]), own = index >= text.prompt;
      const cost = Number.isNaN(p) ? "outside the window, not read" : `probability ${P.percent(p)}, ${write(-text.logs[index], 2)} nats`;
      told.textContent = `Token ${index}: ${labels[text.ids[index]]} (number ${text.ids[index]}), ${cost}. ${own ? "A click, or Enter, goes back to the choice that it was." : "It was given."}`;
    }
    const HOW = "Point at a token, or walk there by arrow keys, to read its probability. Choose one that the model wrote to go back there and take another.";
    told.textContent = HOW;
    const marker = P.walk(tokens, {
      keys: { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 },
      onMark: (k) => tell(k + 1),
      onChoose: (k) => k + 1 >= text.prompt && back(k + 1),
    });

    /* ==== what comes next =================================================================================== */
    /** The laws before and after the rules, of the logits that are there. */
    function weigh() {
      C.softmax(logits, before);
      changed.set(logits);
      C.softmax(C.apply(changed, rules), after);
      shown = C.top(before, SHOWN);
    }

    function showNext() {
      bars.show(shown.map((id) => ({ name: labels[id], before: before[id], after: after[id] })));
      let left = 0, others = [1, 1];
      for (let id = 0; id < after.length; id += 1) left += after[id] > 0;
      for (const id of shown) others = [others[0] - before[id], others[1] - after[id]];
      rest.textContent = `All other ${write(shape.vocabulary - SHOWN, 0)} tokens together: ${P.percent(Math.max(others[0], 0))} → ${others[1] < 1e-9 ? "out" : P.percent(others[1])}. The rules leave ${left} of ${shape.vocabulary} tokens.`;
    }

    /** Read what has been added since the last reading; without the cache, everything. */
    function readOn() {
      if (!state.cache) reader.forget();
      const begun = performance.now();
      logits.set(reader.read(seen()));
      state.milliseconds = performance.now() - begun;
      weigh();
    }

    function show() {
      cancelAnimationFrame(frame);
      frame = 0;
      bars.mark(-1);
      showText();
      showNext();
      run.redraw();
      latest.textContent = `The last reading took ${write(state.milliseconds, 1)} ms ${state.cache ? "with" : "without"} the cache.`;
      bars.element.setAttribute("aria-label", `The ten likeliest next tokens after ${written()} written ones. Enter takes the marked one.`);
      Lab.say(sentence());
      drawn += 1;
    }

    /** Nats and characters of the tokens from `from` on, as far as they were read. */
    function cost(from, to = text.ids.length) {
      const pieces = coder.pieces(text.ids.slice(1, to), true);
      let [sum, characters] = [0, 0];
      for (let index = Math.max(from, 1); index < to; index += 1) {
        if (Number.isNaN(text.logs[index])) continue;
        sum -= text.logs[index];
        characters += [...pieces[index - 1]].length;
      }
      return { sum, characters, each: characters ? sum / characters : NaN };
    }

    function sentence() {
      const given = cost(1, text.prompt), made = cost(text.prompt);
      const one = Number.isNaN(given.each) ? "Nothing is given." : `The given text costs the model ${write(given.each, 2)} nats a character`;
      const two = written() ? `; the ${written()} token${written() === 1 ? "" : "s"} after it ${write(made.each, 2)}` : "";
      const rest = Number.isNaN(given.each) && written() ? ` ${written()} tokens, ${write(made.each, 2)} nats a character.` : "";
      const best = shown[0], kept = after[best] === before[best] ? "" : `, after the rules ${P.percent(after[best])}`;
      return `${one}${Number.isNaN(given.each) ? rest : `${two}.`} Likeliest next token: ${labels[best]}, ${P.percent(before[best])}${kept}.${text.ids.length > shape.context ? ` The window has moved on: ${seen().length} of ${text.ids.length} tokens are seen.` : ""}`;
    }

    /** Add a token to the text and read it. */
    function take(id, byHand = false) {
      if (!state.ready || written() >= LIMIT) return false;
      if (byHand) loop.pause();
      text.logs.push(Math.log(before[id]));
      text.ids.push(id);
      readOn();
      if (byHand) show();
      else soon();
      return written() < LIMIT;
    }

    let frame = 0;
    /** Show what has changed, once a frame: at full speed several tokens come in one. */
    function soon() {
      frame = frame || requestAnimationFrame(show);
    }

    function step() {
      if (!state.ready) return true;
      return take(C.draw(after, chance(written())));
    }

    /** Go back to before token `index`. */
    function back(index) {
      if (!state.ready || index < text.prompt || index >= text.ids.length) return;
      loop.pause();
      text.ids.length = text.logs.length = index;
      marker.mark(-1);
      told.textContent = HOW;
      readOn();
      showText(index - 1);
      show();
    }

    let asked = 0;
    /** Begin anew with the text in the box. */
    async function begin() {
      const mine = (asked += 1);
      state.ready = false;
      const ids = [shape.start, ...coder.encode(prompt.value)];
      Object.assign(text, { ids, prompt: ids.length, logs: ids.map(() => NaN) });
      random = GB.random(state.seed);
      chances = [];
      marker.mark(-1);
      told.textContent = HOW;
      const first = C.begin(text.prompt, text.prompt, shape.context);
      reader.forget();
      const begun = performance.now();
      const found = await P.readSlowly(reader, seen(), (place, z) => {
        const next = first + place + 1;
        if (next < ids.length) text.logs[next] = C.logProb(z, ids[next]);
      }, () => mine === asked);
      if (!found) return;
      state.milliseconds = performance.now() - begun;
      logits.set(found);
      weigh();
      state.ready = true;
      showText(0);
      show();
    }

    /* ==== the line of nats ================================================================================== */
    function drawRun(c, W, H) {
      const left = 40, right = W - 10, top = 40, bottom = H - 36;
      const pieces = coder.pieces(text.ids.slice(1), true), points = [[0, NaN]];
      let [sum, characters, join] = [0, 0, 0];
      for (let index = 1; index < text.ids.length; index += 1) {
        if (!Number.isNaN(text.logs[index])) {
          sum -= text.logs[index];
          characters += [...pieces[index - 1]].length;
          if (characters) points.push([characters, sum / characters]);
        }
        if (index === text.prompt - 1) join = points.length - 1;
      }
      const wide = Math.max(60, characters), values = points.map(([, v]) => v).filter((v) => v === v);
      const high = Math.min(6, Math.max(2, 1.25 * nats.rounded, ...values.slice(2))) * 1.05;
      const X = (v) => left + (v / wide) * (right - left), Y = (v) => bottom - (Math.min(v, high) / high) * (bottom - top);
      words(c, "nats a character, from the beginning up to here", 0, 10, { weight: "600", colour: "ink" });
      line(c, "edge", 1, () => {
        c.moveTo(left, top);
        c.lineTo(left, bottom);
        c.lineTo(right, bottom);
      });
      for (let v = 0; v <= high; v += high > 3 ? 1 : 0.5) words(c, write(v, high > 3 ? 0 : 1), left - 6, Y(v), { align: "right" });
      const unit = [10, 20, 50, 100, 200, 500, 1000].find((u) => wide / u <= 6) ?? 2000;
      for (let v = 0; v <= wide; v += unit) words(c, write(v, 0), X(v), bottom + 12, { align: "center" });
      words(c, "characters of the text", (left + right) / 2, H - 8, { align: "center" });
      line(c, "data", 1.5, () => {
        c.moveTo(left, Y(nats.rounded));
        c.lineTo(right, Y(nats.rounded));
      }, [6, 4]);
      const path = (from, to) => () => points.slice(from, to).forEach(([x, y], k) => (k ? c.lineTo : c.moveTo).call(c, X(x), Y(y)));
      line(c, "data", 2.5, path(1, join + 1));
      line(c, "model", 2.5, path(Math.max(join, 1), points.length));
      let x = right;
      for (const [meaning, name, dash] of [["data", `validation text: ${write(nats.rounded, 2)}`, [6, 4]], ["model", "written", []], ["data", "given", []]]) {
        x -= words(c, name, x, 28, { align: "right", colour: meaning }) + 5;
        const to = x;
        line(c, meaning, 2, () => { c.moveTo(to - 22, 28); c.lineTo(to, 28); }, dash);
        x -= 36;
      }
      const now = cost(1);
      run.describe(`Running nats a character: ${Number.isNaN(now.each) ? "no text yet" : `${write(now.each, 2)} after ${now.characters} characters`}; validation text costs ${write(nats.rounded, 2)}.`);
    }

    /* ==== what it costs ===================================================================================== */
    const clock = async (count, cached, from) => {
      let spent = 0, ids = from;
      reader.read(ids);
      for (let k = 0; k < count; k += 1) {
        ids = [...ids, C.top(reader.logits, 1)[0]];
        if (!cached) reader.forget();
        const begun = performance.now();
        reader.read(ids);
        spent += performance.now() - begun;
        await P.breath();
      }
      return (1000 * count) / Math.max(spent, 0.01);
    };

    /** Time both ways from the text that is there, or from its last tokens where the window is nearly full. */
    async function measure() {
      loop.pause();
      if (!state.ready) return;
      const mine = asked;
      state.ready = false;
      meter.disabled = true;
      const from = seen().slice(-Math.max(1, shape.context - TIMED.cached - 1));
      const cached = await clock(TIMED.cached, true, from), plain = await clock(TIMED.plain, false, from);
      state.measured = { cached, plain, places: from.length };
      meter.disabled = false;
      if (mine !== asked) return; // another text has been begun
      reader.forget();
      reader.read(seen());
      state.ready = true;
      price.textContent = `After ${from.length} tokens: ${write(cached, 0)} tokens a second with the cache, ${write(plain, plain < 10 ? 1 : 0)} without, ${write(cached / plain, cached < 10 * plain ? 1 : 0)} times as many.`;
    }

    /* ==== controls ========================================================================================== */
    loop = Lab.loop(step, { rate: state.rate });
    Lab.transport(controls, loop, {
      step: "Step",
      onReset: () => {
        loop.pause();
        begin();
      },
    });
    Lab.button(controls, "Back", () => back(text.ids.length - 1));

    Lab.predict(panel, [QUESTION, answer]);
    const order = Lab.group(panel, "Rules, in this order");
    const rule = (key, options) => Lab.slider(order, {
      ...options,
      onInput: (to) => {
        rules[key] = options.read ? options.read(to) : to;
        if (!state.ready) return;
        weigh();
        showNext();
        Lab.say(sentence());
        drawn += 1;
      },
    });
    rule("temperature", { label: "1. Temperature", min: 0, max: 2, step: 0.05, value: 1, format: (v) => write(v, 2) });
    rule("topK", {
      label: "2. Top-k: keep the k likeliest", min: 0, max: KEPT.length, value: KEPT.length,
      read: (i) => KEPT[i] ?? shape.vocabulary, format: (i) => (KEPT[i] ? `k = ${KEPT[i]}` : "all"),
    });
    rule("nucleus", { label: "3. Nucleus: keep a share p", min: 0.05, max: 1, step: 0.05, value: 1, format: (v) => (v === 1 ? "all" : `p = ${write(v, 2)}`) });
    rule("minP", { label: "4. Min-p: keep p times the best", min: 0, max: 0.5, step: 0.01, value: 0, format: (v) => (v === 0 ? "all" : `p = ${write(v, 2)}`) });
    const pace = Lab.group(panel, "Draws");
    Lab.slider(pace, {
      label: "Speed", min: 0, max: RATES.length - 1, value: RATES.indexOf(state.rate), format: (i) => `${RATES[i]} token${RATES[i] === 1 ? "" : "s"} a second`,
      onInput: (i) => {
        loop.rate = state.rate = RATES[i];
      },
    });
    Lab.slider(pace, {
      label: "Seed of the draws", min: 1, max: 20, value: state.seed,
      onInput: (to) => {
        state.seed = to;
        loop.pause();
        begin();
      },
    });
    const money = Lab.group(panel, "What a token costs");
    Lab.toggle(money, {
      label: "Keep keys and values (the cache)", value: state.cache,
      onChange: (on) => {
        state.cache = on;
      },
    });
    const meter = Lab.button(money, "Measure with and without", measure);
    const latest = make("p", money, { className: "hint" });
    const price = make("p", money, { className: "hint", textContent: "Without the cache, all tokens are read again for each new one." });
    price.setAttribute("aria-live", "polite");

    Lab.hint(picture, `The model has ${write(parameters / 1e6, 2)} million parameters and ${shape.vocabulary} tokens, and sees at most ${shape.context} of them; when its window is full it reads on from half a window back. It was trained on the reference of the Python language. So that the page stays small, its weights are rounded to ${2 * Lab.data.levels + 1} levels, one scale a row: validation text costs ${write(nats.rounded, 4)} nats a character, ${write(nats.whole, 4)} before rounding.`);

    drawScale();
    Lab.onTheme(() => {
      drawScale();
      cells.forEach((_, k) => paintToken(k + 1));
    });
    await begin();
    return {
      get state() { return state; },
      get text() { return text; },
      get rules() { return rules; },
      get before() { return before; },
      get after() { return after; },
      get shown() { return shown; },
      get drawn() { return drawn; },
      get playing() { return loop.playing; },
      get cost() { return { given: cost(1, text.prompt), written: cost(text.prompt) }; },
      chance, coder, reader, labels, seen, written,
    };
  }

  Lab.start(async (root) => {
    make("style", document.head, { textContent: STYLE });
    /** What the page holds now, for the tests: it is read there, never written. */
    GptCore.page = await lab(root);
  });
})();
