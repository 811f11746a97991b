/* The live lab "markov_models": type, and watch the odds of the next character change with memory and smoothing.
 *
 * The arithmetic is markov_core.js (MarkovCore): the page counts the text itself, this book's own sentences or one
 * that the reader pastes. Nothing leaves the page. Orange is what the model believes, or writes.
 */
(function () {
  "use strict";

  const C = MarkovCore;
  const BARS = 12; // characters shown, the likeliest first
  const ROW = 22; // of the table of contexts
  const RUN = 12; // characters in a row that stand in the text: a quotation
  const RULES = [["none", "None"], ["add-k", "Add k"], ["witten-bell", "Witten–Bell"], ["kneser-ney", "Kneser–Ney"]];
  const BEGINNING = "What the machine ";

  const STYLE = `
.m-field { margin: 0 0 12px; }
.m-field > label { display: block; font-weight: 600; margin-bottom: 4px; }
.m-field > textarea { box-sizing: border-box; width: 100%; font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--edge); border-radius: 8px; padding: 8px 12px; min-height: 64px; resize: vertical; }
.m-field > textarea:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.m-written { min-height: 5.5em; max-height: 11em; overflow: auto; border-left: 4px solid var(--model); padding: 4px 12px; margin: 0 0 12px; white-space: pre-wrap; overflow-wrap: anywhere; }
.m-written > b { font-weight: 400; text-decoration: underline; text-decoration-color: var(--data); text-decoration-thickness: 3px; text-underline-offset: 3px; }
.m-written:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.m-score { margin: 8px 0; }
.m-next { margin: 0 0 12px; }
`;

  const QUESTION = [
    "Choose no smoothing and a context of 8, and type a sentence of your own. What are the odds of the next character? And which share of fresh text, the last tenth of this book’s sentences, does such a model call impossible?",
    "As a rule there are none: unless your last eight characters stand in the text, in this order, no character has any chance, and the machine cannot go on. Of the fresh text it calls 81 % impossible, so that the score is infinite. And if you begin with words that the text has, what it writes is quotation. Now choose Kneser–Ney, at the same length.",
  ];

  const { write, words, line } = Lab;
  const count = (n) => n.toLocaleString("en-GB");
  const times = (n) => (n === 0 ? "never" : n === 1 ? "once" : `${count(n)} times`);
  const percent = (p) => (p > 0 && p < 0.005 ? "<1" : p < 1 && p > 0.995 ? ">99" : write(100 * p, 0)) + " %";
  const NAMES = { " ": "␣", "\n": "↵", [C.START]: "⊢" };
  const shown = (text) => Array.from(text, (c) => NAMES[c] || c).join("");
  const SPOKEN = { " ": "blank", "\n": "line break" };

  const make = (tag, parent, properties) => {
    const element = Object.assign(document.createElement(tag), properties);
    parent.appendChild(element);
    return element;
  };

  let fields = 0;
  function field(parent, label, value) {
    const box = make("div", parent, { className: "m-field" });
    const id = `m-field-${(fields += 1)}`;
    make("label", box, { textContent: label, htmlFor: id });
    return make("textarea", box, { id, value, rows: 2, spellcheck: false });
  }

  function lab(root) {
    const state = { rule: "kneser-ney", context: 4, k: 0.1, seed: 1, text: "" };
    let model = null; // what was counted: the first nine tenths of the text
    let known = "", fresh = "";
    let generated = "", quoted = []; // what was written, and whether each character is part of a quotation
    let random = null;
    let seen = null; // chances, way and uniform after the text as it is now
    let scored = null;

    const { picture, panel } = Lab.columns(root);
    const typed = field(picture, "Type a beginning", BEGINNING);
    const options = () => ({ rule: state.rule, context: state.context, k: state.k });
    const before = () => typed.value + generated;

    /* ==== pictures ========================================================================================== */
    const bars = Lab.canvas(make("div", picture, { className: "m-next" }), {
      label: "The likeliest next characters", width: 720, height: 190, keepHeight: true,
      draw: (c, W, H) => drawBars(c, W, H),
    });
    const table = Lab.canvas(make("div", picture, { className: "m-next" }), {
      label: "Where the answer comes from", width: 720, height: 30 + ROW * (C.LONGEST + 2), keepHeight: true,
      draw: (c, W) => drawWay(c, W),
    });

    function likeliest() {
      const order = Array.from(seen.chances.keys()).sort((i, j) => seen.chances[j] - seen.chances[i] || i - j);
      return order.slice(0, BARS).filter((i) => seen.chances[i] > 0);
    }

    function drawBars(c, W, H) {
      if (!seen) return;
      words(c, "next character", 0, 10, { weight: "600", colour: "ink" });
      const places = likeliest();
      if (!places.length) {
        words(c, "nothing: this context was never met", W / 2, H / 2, { align: "center", colour: "attention", weight: "600" });
        return;
      }
      const [top, bottom, wide] = [40, H - 24, W / BARS];
      places.forEach((i, place) => {
        const high = seen.chances[i] * (bottom - top);
        c.fillStyle = Lab.colour("model");
        c.fillRect(place * wide + 3, bottom - high, wide - 6, high);
        const x = (place + 0.5) * wide;
        words(c, shown(model.characters[i]), x, bottom + 12, { align: "center", colour: "ink", weight: "600" });
        words(c, wide < 40 ? write(100 * seen.chances[i], 0) : percent(seen.chances[i]), x, bottom - high - 9, { align: "center" });
      });
      line(c, "rule", 1, () => {
        c.moveTo(0, bottom + 0.5);
        c.lineTo(W, bottom + 0.5);
      });
    }

    function drawWay(c, W) {
      if (!seen) return;
      const rows = seen.way.slice().reverse();
      const [metAt, barAt] = [W < 480 ? 118 : 200, W < 480 ? 190 : 400];
      words(c, "context", 0, 10, { weight: "600", colour: "ink" });
      words(c, W < 480 ? "count" : "count, and successors", metAt, 10, { weight: "600", colour: "ink" });
      words(c, W < 480 ? "its share" : "its share in the answer", barAt, 10, { weight: "600", colour: "ink" });
      const room = W - barAt - 50;
      const bar = (share, y, colour) => {
        c.fillStyle = Lab.colour(colour);
        c.fillRect(barAt, y - 6, share > 0 ? Math.max(1, share * room) : 0, 12);
        words(c, percent(share), barAt + share * room + 6, y);
      };
      rows.forEach((step, row) => {
        const y = 34 + row * ROW;
        words(c, step.context ? shown(step.context) : "none", 0, y, { colour: step.total ? "ink" : "quiet" });
        const met = W < 480 ? count(step.total) : `${count(step.total)}, of ${count(step.kinds)} kind${step.kinds === 1 ? "" : "s"}`;
        words(c, step.total ? met : "never", metAt, y, { colour: step.total ? "ink" : "quiet" });
        bar(step.weight, y, "model");
      });
      const y = 34 + rows.length * ROW;
      words(c, "all alike", 0, y);
      words(c, W < 480 ? "" : `${model.characters.length} characters`, metAt, y);
      bar(seen.uniform, y, "noise");
    }

    /* ==== what is to be seen, in words ====================================================================== */
    const named = (i) => SPOKEN[model.characters[i]] || model.characters[i];

    function sentence() {
      const tail = before().slice(-12);
      const top = likeliest().slice(0, 3).map((i) => `${named(i)} ${percent(seen.chances[i])}`);
      const odds = top.length ? top.join(", ") : "nothing, for this context was never met";
      const longest = seen.way[seen.way.length - 1];
      const met = longest.context ? ` “${shown(longest.context)}” was met ${times(longest.total)}.` : "";
      const quotes = quoted.reduce((sum, q) => sum + q, 0);
      const wrote = generated ? ` ${count(generated.length)} characters written, ${percent(quotes / generated.length)} of them in quotations.` : "";
      return `After “${shown(tail)}”: ${odds}.${met}${wrote}`;
    }

    const written = make("p", picture, { className: "m-written", tabIndex: 0 });
    written.setAttribute("role", "region");
    written.setAttribute("aria-label", "What the model writes");
    const scoreLine = make("p", picture, { className: "m-score" });

    function writeOut() {
      written.replaceChildren();
      let from = 0;
      for (let i = 1; i <= generated.length; i += 1) {
        if (i < generated.length && quoted[i] === quoted[from]) continue;
        make(quoted[from] ? "b" : "span", written, { textContent: generated.slice(from, i) });
        from = i;
      }
      if (!generated) written.textContent = "Press Write, or One character.";
      else written.scrollTop = written.scrollHeight;
    }

    function paint() {
      seen = C.chances(model, before(), options());
      bars.redraw();
      table.redraw();
      const top = likeliest().map((i) => `${named(i)} ${percent(seen.chances[i])}`).join(", ");
      bars.describe(`The likeliest next characters: ${top || "none, this context was never met"}.`);
      const rows = seen.way.map((s) => `${s.context ? shown(s.context) : "no context"} met ${s.total} times, share ${percent(s.weight)}`);
      table.describe(`Where the answer comes from, from short contexts to long: ${rows.join("; ")}; all characters alike ${percent(seen.uniform)}.`);
      Lab.say(sentence());
    }

    function rate() {
      scored = C.score(model, fresh, options());
      const { nats, impossible, length } = scored;
      const share = percent(impossible / length);
      scoreLine.textContent = impossible
        ? `Fresh text, ${count(length)} characters: ∞ nats a character, perplexity ∞. ${share} of it is impossible under this model (without that part it would seem to be ${write(nats, 3)}).`
        : `Fresh text, ${count(length)} characters: ${write(nats, 3)} nats a character, perplexity ${write(Math.exp(nats), 2)}.`;
    }

    /* ==== what changes ====================================================================================== */
    function anew() { // another beginning, or another seed
      generated = "";
      quoted = [];
      random = GB.random(state.seed);
      writeOut();
      paint();
    }

    function changed() {
      rate();
      paint();
    }

    function learn(text) {
      state.text = text;
      const cut = Math.floor(0.9 * text.length);
      known = text.slice(0, cut);
      fresh = text.slice(cut);
      model = C.count(known, [...new Set(text)].sort());
      rate();
      anew();
    }

    function step() {
      const i = C.draw(seen.chances, random.uniform());
      if (i < 0) {
        Lab.say(sentence());
        return false;
      }
      generated += model.characters[i];
      quoted.push(false);
      const run = generated.slice(-RUN);
      if (run.length === RUN && known.includes(run)) quoted.fill(true, quoted.length - RUN);
      writeOut();
      paint();
      return generated.length < 2000;
    }

    const loop = Lab.loop(step, { rate: 20, autoplay: false });

    /* ==== controls ========================================================================================== */
    typed.addEventListener("input", () => {
      loop.pause();
      anew();
    });
    Lab.predict(panel, QUESTION);
    const memory = Lab.group(panel, "Memory");
    Lab.slider(memory, {
      label: "Context", min: 0, max: C.LONGEST, value: state.context,
      format: (v) => (v === 1 ? "1 character" : `${v} characters`),
      onInput: (to) => {
        state.context = to;
        changed();
      },
    });
    const smoothing = Lab.group(panel, "Smoothing");
    Lab.segments(smoothing, {
      label: "Smoothing", options: RULES, value: state.rule,
      onChange: (to) => {
        state.rule = to;
        amount.input.disabled = to !== "add-k";
        changed();
      },
    });
    const amount = Lab.slider(smoothing, {
      label: "k, for Add k", min: -20, max: 0, value: -10,
      format: (v) => write(10 ** (v / 10), v < -10 ? 3 : 2),
      onInput: (to) => {
        state.k = 10 ** (to / 10);
        changed();
      },
    });
    amount.input.disabled = true;
    const writing = Lab.group(panel, "Write");
    Lab.transport(Lab.row(writing), loop, {
      play: "Write", pause: "Pause", step: "One character", reset: "Start again",
      onReset: () => {
        loop.pause();
        anew();
      },
    });
    Lab.slider(writing, {
      label: "Seed", min: 1, max: 30, value: state.seed,
      onInput: (to) => {
        loop.pause();
        state.seed = to;
        anew();
      },
    });
    const source = Lab.group(panel, "Text that is counted");
    const own = field(source.parentElement, "A text of your own (stays in this page)", "");
    own.placeholder = "Paste 500 characters or more";
    const note = make("p", source.parentElement, { className: "hint" });
    const about = (what) => {
      note.textContent = `${what}: ${count(state.text.length)} characters of ${model.characters.length} kinds; the first nine tenths are counted, the last is fresh text.`;
    };
    Lab.button(source, "Count my text", () => {
      if (own.value.length < 500) {
        note.textContent = `A text of your own needs 500 characters; this has ${count(own.value.length)}.`;
        return;
      }
      loop.pause();
      learn(own.value);
      about("Your text");
    });
    Lab.button(source, "This book’s sentences", () => {
      loop.pause();
      learn(Lab.data.text);
      about("Sentences of this book");
    });

    picture.appendChild(document.getElementById("result"));
    Lab.hint(picture, "␣ is a blank, ↵ a line break, ⊢ the place before the beginning. Underlined in what is written: twelve or more characters in a row that stand in the counted text. A share in the answer is what a context’s own counts give to the odds; the rest is handed down to the next shorter one. Under Kneser–Ney a shorter context counts in how many longer ones each gram was seen. Without smoothing and with Add k only the longest context is asked.", table);

    learn(Lab.data.text);
    about("Sentences of this book");
    return {
      get state() { return state; },
      get model() { return model; },
      get seen() { return seen; },
      get scored() { return scored; },
      get before() { return before(); },
      get generated() { return generated; },
      get quoted() { return quoted; },
      get fresh() { return fresh; },
      get known() { return known; },
      get playing() { return loop.playing; },
    };
  }

  Lab.start((root) => {
    make("style", document.head, { textContent: STYLE });
    /** What the page holds now, for the tests: it is read there, never written. */
    MarkovCore.page = lab(root);
  });
})();
