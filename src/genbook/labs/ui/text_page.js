"use strict";
/* What the pages of the labs on GPT and attention share: a box to write in, tokens in a row, bars of what comes next. */
const TextPage = (() => {
  const { write } = Lab;
  let numbered = 0;

  const make = (tag, parent, properties = {}) => {
    const element = Object.assign(document.createElement(tag), properties);
    parent.appendChild(element);
    return element;
  };

  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  /** A colour of the palette laid on the paper, from share 0 to 1. */
  const mix = (meaning, share) => {
    const [p, q] = [parts(Lab.colour(meaning)), parts(Lab.colour("paper"))];
    return `rgb(${p.map((v, k) => Math.round(share * v + (1 - share) * q[k])).join(",")})`;
  };

  /** The ground of a token: so strong that words on it can still be read. */
  const tint = (meaning, share) => mix(meaning, 0.04 + 0.41 * share);

  const percent = (p) => (p >= 0.9995 ? "100 %" : p >= 0.0995 ? `${write(100 * p, 0)} %` : p >= 0.0005 ? `${write(100 * p, 1)} %` : p > 0 ? "<0.1 %" : "0");

  /** Let the page breathe. */
  const breath = () => new Promise((done) => setTimeout(done));

  /** Read a window, 16 tokens at a time, so that the page stays awake; `wanted()` false stops it. Returns the logits
   * of what follows, or null. */
  async function readSlowly(reader, tokens, heard, wanted) {
    for (let n = Math.min(16, tokens.length); ; n = Math.min(n + 16, tokens.length)) {
      const logits = reader.read(n === tokens.length ? tokens : tokens.slice(0, n), heard);
      if (n === tokens.length) return logits;
      await breath();
      if (!wanted()) return null;
    }
  }

  /** Add a box to write in; `onInput(text)` hears of every change. */
  function box(parent, { label, rows, value, onInput }) {
    const element = make("div", parent, { className: "t-box" });
    const input = make("textarea", element, { id: `text-${++numbered}`, rows, value, spellcheck: false, tabIndex: 0 });
    input.setAttribute("autocomplete", "off");
    input.setAttribute("autocapitalize", "off");
    input.setAttribute("tabindex", "0");
    element.insertBefore(Object.assign(document.createElement("label"), { textContent: label, htmlFor: input.id }), input);
    input.addEventListener("input", () => onInput(input.value));
    return { element, input, get value() { return input.value; }, set value(now) { input.value = now; } };
  }

  /** Let arrow keys, mouse and finger walk along the options of a list: `onMark(index)`, and `onChoose(index)` by
   * Enter or a click. Returns `{at, mark(index)}`; marking does not call `onMark`. */
  function walk(list, { onMark, onChoose, keys }) {
    const options = () => list.querySelectorAll("[role=option]:not([hidden])");
    const self = {
      at: -1,
      mark(index) {
        const all = options();
        if (all[self.at]) all[self.at].setAttribute("aria-selected", "false");
        self.at = index;
        if (!all[index]) return list.removeAttribute("aria-activedescendant");
        all[index].setAttribute("aria-selected", "true");
        list.setAttribute("aria-activedescendant", all[index].id);
      },
    };
    const go = (index) => {
      if (index === self.at) return;
      self.mark(index);
      onMark(index);
    };
    const of = (event) => Array.prototype.indexOf.call(options(), event.target.closest("[role=option]"));
    list.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const count = options().length, last = count - 1;
      if (!count) return;
      if (event.key in keys) go(Math.min(Math.max(self.at < 0 ? (keys[event.key] > 0 ? 0 : last) : self.at + keys[event.key], 0), last));
      else if (event.key === "Home") go(0);
      else if (event.key === "End") go(last);
      else if ((event.key === "Enter" || event.key === " ") && self.at >= 0) onChoose(self.at);
      else return;
      event.preventDefault();
      options()[self.at]?.scrollIntoView({ block: "nearest" });
    });
    list.addEventListener("pointerover", (event) => of(event) >= 0 && go(of(event)));
    list.addEventListener("click", (event) => {
      const index = of(event);
      if (index < 0) return;
      go(index);
      onChoose(index);
    });
    return self;
  }

  /** Add an empty list of options that the keyboard reaches. */
  function listbox(parent, { label, className }) {
    const element = make("div", parent, { className, id: `list-${++numbered}` });
    element.setAttribute("role", "listbox");
    element.setAttribute("aria-label", label);
    element.setAttribute("tabindex", "0");
    return element;
  }

  function option(list, className) {
    const element = make("div", list, { className, id: `option-${++numbered}` });
    element.setAttribute("role", "option");
    element.setAttribute("aria-selected", "false");
    return element;
  }

  /** Add bars of the likeliest tokens, two a token: `show([{name, before, after}])`. With `onChoose(index)` a token
   * can be chosen by click, or by arrow keys and Enter. */
  function bars(parent, { label, count, before, after, onChoose = null }) {
    const head = make("div", parent, { className: "t-legend" });
    for (const [kind, text] of [["before", before], ["after", after]]) {
      const one = make("span", head, { className: "t-key" });
      make("i", one, { className: `t-${kind}` });
      one.append(text);
    }
    const list = onChoose ? listbox(parent, { label, className: "t-bars t-open" }) : make("div", parent, { className: "t-bars" });
    if (!onChoose) {
      list.setAttribute("role", "list");
      list.setAttribute("aria-label", label);
    }
    const rows = Array.from({ length: count }, () => {
      const element = onChoose ? option(list, "t-bar") : make("div", list, { className: "t-bar" });
      if (!onChoose) element.setAttribute("role", "listitem");
      const name = make("span", element, { className: "t-name" });
      const tracks = make("span", element, { className: "t-tracks" });
      return { element, name, first: make("i", tracks, { className: "t-before" }), second: make("i", tracks, { className: "t-after" }), number: make("span", element, { className: "t-number" }) };
    });
    const walker = onChoose && walk(list, { onMark: () => {}, onChoose, keys: { ArrowUp: -1, ArrowDown: 1 } });
    return {
      element: list, head,
      get at() { return walker ? walker.at : -1; },
      mark: (index) => walker && walker.mark(index),
      show(found) {
        const greatest = found.reduce((most, one) => Math.max(most, one.before, one.after), 1e-9);
        rows.forEach(({ element, name, first, second, number }, k) => {
          element.hidden = k >= found.length;
          if (element.hidden) return;
          const one = found[k];
          name.textContent = one.name;
          first.style.width = `${(100 * one.before) / greatest}%`;
          second.style.width = `${(100 * one.after) / greatest}%`;
          element.classList.toggle("t-gone", one.after === 0);
          number.textContent = `${percent(one.before)} → ${one.after === 0 ? "out" : percent(one.after)}`;
        });
      },
    };
  }

  const STYLE = `
.t-box { margin: 0 0 12px; }
.t-box > label { display: block; font-weight: 600; font-size: .9375rem; margin: 0 0 4px; }
.t-box > textarea { display: block; width: 100%; font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--edge); border-radius: 8px; padding: 9px 12px; min-height: 44px; resize: vertical; }
.t-legend { display: flex; flex-wrap: wrap; gap: 2px 18px; color: var(--quiet); font-size: .875rem; margin: 0 0 4px; }
.t-key { display: inline-flex; align-items: center; gap: 7px; }
.t-key > i { display: inline-block; width: 26px; height: 9px; border-radius: 2px; }
.t-before { background: transparent; border: 1.5px solid var(--model); }
.t-after { background: var(--model); border: 1.5px solid var(--model); }
.t-bars { border: 1px solid var(--rule); border-radius: 8px; overflow: hidden; margin: 0 0 12px; }
.t-bar { display: grid; grid-template-columns: minmax(5.2em, 8.5em) minmax(0, 1fr) 8.2em; gap: 10px; align-items: center; min-height: 36px; padding: 2px 10px; font-size: .9375rem; }
.t-open > .t-bar { min-height: 44px; cursor: pointer; }
.t-bar + .t-bar { border-top: 1px solid var(--rule); }
.t-open > .t-bar:hover { background: var(--panel); }
.t-open:focus-visible > .t-bar[aria-selected="true"], .t-tokens:focus-visible > [aria-selected="true"] { outline: 3px solid var(--focus); outline-offset: -3px; }
.t-name { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.t-tracks { display: grid; gap: 3px; }
.t-tracks > i { display: block; height: 9px; min-width: 1px; border-radius: 2px; }
.t-gone > .t-tracks > .t-after { visibility: hidden; }
.t-number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 480px) {
  .t-bar { grid-template-columns: 5.6em minmax(0, 1fr) 7.8em; gap: 8px; padding: 2px 8px; font-size: .875rem; }
}
`;

  return { STYLE, make, mix, tint, percent, breath, readSlowly, box, walk, listbox, option, bars };
})();
