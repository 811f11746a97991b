/* The furniture of every lab page: the global `Lab`. A lab's own script, ui/NAME.js, builds its page from it:
 *
 *   (() => {
 *     "use strict";
 *     Lab.start((root) => {                        // root: the empty element that takes the cached picture's place
 *       const view = Lab.canvas(root, {label: "…", width: 640, height: 400, draw(context, width, height) { … }});
 *       const controls = Lab.group(root, "Controls");
 *       Lab.slider(controls, {label: "Speed", min: 1, max: 9, step: 1, value: 3, onInput: (v) => { … }});
 *       const loop = Lab.loop(() => { …; view.redraw(); }, {rate: 30});
 *       Lab.transport(controls, loop, {onReset: () => { … }});
 *     });
 *   })();
 *
 * Every control is a labelled HTML element, at least 44 px high, for keyboard and finger alike. Colours come from
 * the book's palette: a canvas asks for them by Lab.colour("model") each time it draws.
 */
"use strict";

var Lab = (function kit() {
  const root = document.documentElement;
  const live = document.getElementById("live");
  const result = document.getElementById("result");
  let numbered = 0;

  const make = (tag, properties = {}, parent = null) => {
    const element = Object.assign(document.createElement(tag), properties);
    if (parent) (parent.element ?? parent).appendChild(element);
    return element;
  };
  const name = () => `lab-${++numbered}`;

  // ---- the beginning ---------------------------------------------------------------------------------------
  function complain(error) {
    root.dataset.ready = "failed";
    live.classList.remove("ready");
    document.getElementById("first-picture").hidden = false;
    result.textContent = `The lab stopped: ${(error && error.message) || error}`;
  }

  /** Build the lab: `main(root)` fills the element `root`. When it, or its promise, is done, the cached picture goes. */
  function start(main) {
    live.classList.add("ready"); // so that widths can be measured
    const done = () => {
      document.getElementById("first-picture").hidden = true;
      root.dataset.ready = "yes";
      tellHeight();
    };
    try {
      const built = main(live);
      if (built && typeof built.then === "function") built.then(done, complain);
      else done();
    } catch (error) {
      complain(error);
      throw error;
    }
  }

  // ---- colours ---------------------------------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const redraws = [];
  let colours = {};

  function themeChanged() {
    colours = {};
    for (const redraw of redraws) redraw();
  }

  /** Return "#rrggbb" of data, model, noise, truth, attention (or error, the same), paper, panel, ink, quiet, rule, edge, link, focus. */
  function colour(meaning) {
    const variable = meaning === "error" ? "attention" : meaning;
    if (!colours[variable]) colours[variable] = getComputedStyle(root).getPropertyValue(`--${variable}`).trim();
    if (!colours[variable]) throw new Error(`colour: no colour is called ${meaning}`);
    return colours[variable];
  }

  /** Call `redraw` whenever the colours change. */
  function onTheme(redraw) {
    redraws.push(redraw);
  }

  dark.addEventListener("change", themeChanged);
  addEventListener("message", ({ data }) => {
    if (data && (data.theme === "dark" || data.theme === "light") && root.dataset.theme !== data.theme) {
      root.dataset.theme = data.theme;
      themeChanged();
    }
  });

  // ---- what a page around this one may know: our height -------------------------------------------------------
  function tellHeight() {
    if (parent !== window) parent.postMessage({ genbookLab: document.title, height: Math.ceil(root.getBoundingClientRect().height) }, "*");
  }
  new ResizeObserver(tellHeight).observe(document.body);

  // ---- canvases --------------------------------------------------------------------------------------------
  /** Add a canvas that is sharp on every screen; draw in `context` by units of CSS pixels, 0 to width and height.
   *
   * With `draw(context, width, height)` the canvas is as wide as there is room, `width` at most (the height keeps to
   * the proportion unless `keepHeight`), is cleared and drawn by `redraw()`, and by itself when the room or the
   * theme changes; `width` and `height` of what is returned are those of now. Without `draw` the units stay fixed
   * and a narrow window shrinks the picture. `label` is the text alternative; set it anew by `describe(text)`.
   * `focusable` puts the canvas into the keyboard's order; listening to keys is the lab's own work.
   */
  function canvas(parentElement, { label, width, height, draw = null, focusable = false, keepHeight = false }) {
    const element = make("canvas", {}, parentElement);
    element.setAttribute("role", focusable ? "application" : "img");
    element.setAttribute("aria-label", label);
    if (focusable) element.tabIndex = 0;
    const context = element.getContext("2d");
    const view = {
      element, context, width, height,
      describe: (text) => element.setAttribute("aria-label", text),
      clear: () => context.clearRect(0, 0, view.width, view.height),
      redraw() {
        if (!draw) return;
        view.clear();
        draw(context, view.width, view.height);
      },
    };
    function size(now) {
      const ratio = Math.min(Math.max(devicePixelRatio || 1, 1), 3);
      view.width = Math.round(now);
      view.height = keepHeight ? height : Math.round((height * now) / width);
      element.width = Math.round(view.width * ratio);
      element.height = Math.round(view.height * ratio);
      element.style.width = `${view.width}px`;
      if (draw) element.style.height = `${view.height}px`;
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    size(width);
    if (draw) {
      const box = element.parentElement;
      const room = () => {
        const style = getComputedStyle(box);
        return box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
      };
      const fit = () => {
        const now = Math.min(width, Math.max(120, Math.floor(room())));
        if (now === view.width) return false;
        size(now);
        return true;
      };
      fit();
      requestAnimationFrame(view.redraw);
      new ResizeObserver(() => fit() && view.redraw()).observe(box);
      onTheme(view.redraw);
    }
    return view;
  }

  const FONT = "12px Inter, system-ui, sans-serif";
  const paint = (name) => (/^(#|rgb)/.test(name) ? name : colour(name));

  /** Write `text` on a canvas's context at (x, y), in a colour of the palette or of CSS; returns its width. */
  function words(c, text, x, y, { colour: name = "quiet", align = "left", weight = "" } = {}) {
    c.font = `${weight} ${FONT}`;
    c.fillStyle = paint(name);
    c.textAlign = align;
    c.textBaseline = "middle";
    c.fillText(text, x, y);
    return c.measureText(text).width;
  }

  /** Draw the line that `path()` lays out on a canvas's context, in a colour of the palette or of CSS. */
  function line(c, name, width, path, dash) {
    c.beginPath();
    path();
    c.strokeStyle = paint(name);
    c.lineWidth = width;
    c.lineJoin = "round";
    c.setLineDash(dash || []);
    c.stroke();
    c.setLineDash([]);
  }

  /** Follow mouse, pen and finger over a canvas: each of down, move (while pressed), up and hover (while not) gets
   * `{x, y, event}` in the canvas's units. Keys are the lab's own work. */
  function pointer(view, { down, move, up, hover }) {
    const element = view.element ?? view;
    element.style.touchAction = "none";
    let pressed = null;
    const at = (event) => {
      const box = element.getBoundingClientRect();
      const [wide, high] = [view.width ?? box.width, view.height ?? box.height];
      return { x: ((event.clientX - box.left) * wide) / box.width, y: ((event.clientY - box.top) * high) / box.height, event };
    };
    element.addEventListener("pointerdown", (event) => {
      if (pressed !== null || event.button > 0) return;
      pressed = event.pointerId;
      element.setPointerCapture(pressed);
      if (down) down(at(event));
    });
    element.addEventListener("pointermove", (event) => {
      if (event.pointerId === pressed) move && move(at(event));
      else if (pressed === null && hover) hover(at(event));
    });
    const end = (event) => {
      if (event.pointerId !== pressed) return;
      pressed = null;
      if (up) up(at(event));
    };
    element.addEventListener("pointerup", end);
    element.addEventListener("pointercancel", end);
  }

  // ---- controls --------------------------------------------------------------------------------------------
  /** Add a named group of controls in a row that wraps; returns the element that takes them. */
  function group(parentElement, title) {
    const frame = make("fieldset", {}, parentElement);
    make("legend", { textContent: title }, frame);
    return make("div", { className: "row" }, frame);
  }

  /** Add a row that wraps, without a name. */
  const row = (parentElement) => make("div", { className: "row" }, parentElement);

  function labelled(parentElement, label, input) {
    const element = make("div", { className: "control" }, parentElement);
    input.id = name();
    make("label", { textContent: label, htmlFor: input.id }, element);
    return element;
  }

  /** Add a slider. `format(value)` writes its value beside the label; `value` of what is returned reads and sets it
   * (setting does not call `onInput`); so do `min` and `max` of `.input`. */
  function slider(parentElement, { label, min, max, step = 1, value, format = String, onInput = () => {} }) {
    const input = make("input", { type: "range" });
    Object.assign(input, { min, max, step, value });
    const element = labelled(parentElement, label, input);
    const shown = make("output", {}, element);
    shown.setAttribute("for", input.id);
    element.appendChild(input);
    const show = () => {
      shown.textContent = format(Number(input.value));
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    show();
    input.addEventListener("input", () => {
      show();
      onInput(Number(input.value));
    });
    return {
      element, input,
      get value() { return Number(input.value); },
      set value(now) { input.value = now; show(); },
    };
  }

  /** Add a button; returns the element, whose textContent, disabled … may be set. */
  function button(parentElement, label, onClick) {
    const element = make("button", { type: "button", textContent: label }, parentElement);
    element.addEventListener("click", onClick);
    return element;
  }

  /** Add a list to choose from; options are texts, or `{value, label}`. Setting `value` does not call `onChange`. */
  function choice(parentElement, { label, options, value, onChange = () => {} }) {
    const input = make("select");
    const element = labelled(parentElement, label, input);
    for (const option of options) make("option", { value: option.value ?? option, textContent: option.label ?? option }, input);
    element.appendChild(input);
    if (value !== undefined) input.value = value;
    input.addEventListener("change", () => onChange(input.value));
    return { element, input, get value() { return input.value; }, set value(now) { input.value = now; } };
  }

  /** Add a switch that is on or off. Setting `value` does not call `onChange`. */
  function toggle(parentElement, { label, value = false, onChange = () => {} }) {
    const element = make("label", { className: "toggle" }, parentElement);
    const input = make("input", { type: "checkbox", checked: value, id: name() }, element);
    make("span", { textContent: label }, element);
    input.addEventListener("change", () => onChange(input.checked));
    return { element, input, get value() { return input.checked; }, set value(now) { input.checked = now; } };
  }

  // ---- the layout that labs share ------------------------------------------------------------------------------
  /** Add two columns, which a narrow window sets below one another: `{picture, panel}`. */
  function columns(parentElement) {
    const box = make("div", { className: "columns" }, parentElement);
    return { picture: make("div", { className: "picture" }, box), panel: make("div", { className: "panel" }, box) };
  }

  /** Add a row of buttons of which one is pressed; options are [value, text] pairs. Setting `value` does not call
   * `onChange`. */
  function segments(parentElement, { label, options, value, onChange = () => {} }) {
    const element = make("div", { className: "segments" }, parentElement);
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", label);
    let current = value;
    const buttons = options.map(([option, text]) => [
      option,
      button(element, text, () => {
        if (current === option) return;
        self.value = option;
        onChange(option);
      }),
    ]);
    const self = {
      element,
      get value() { return current; },
      set value(now) {
        current = now;
        for (const [option, one] of buttons) one.setAttribute("aria-pressed", String(option === current));
      },
    };
    self.value = value;
    return self;
  }

  /** Add a question to be answered before trying, with its answer folded away. */
  function predict(parentElement, [asked, answer]) {
    const element = make("div", { className: "question" }, parentElement);
    const first = make("p", {}, element);
    make("strong", { textContent: "Predict first. " }, first);
    first.append(asked);
    const details = make("details", {}, element);
    make("summary", { textContent: "Answer" }, details);
    make("p", { textContent: answer }, details);
    return element;
  }

  /** Add a quiet line that says how to use a canvas, and tie it to that canvas. */
  function hint(parentElement, text, view = null) {
    const element = make("p", { className: "hint", id: name(), textContent: text }, parentElement);
    if (view) (view.element ?? view).setAttribute("aria-describedby", element.id);
    return element;
  }

  /** A number with `digits` decimals and a true minus sign. */
  function write(value, digits = 2) {
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  }

  // ---- words -----------------------------------------------------------------------------------------------
  let next = null, timer = 0, spoken = -Infinity;

  function speak() {
    timer = 0;
    if (next === null || next === result.textContent) return;
    spoken = performance.now();
    result.textContent = next;
    next = null;
  }

  /** Say in words what is to be seen, for eyes and screen readers; at most once a second, the last text counts. */
  function say(text) {
    next = text;
    if (!timer) {
      const wait = Math.max(0, 1000 - (performance.now() - spoken));
      if (wait === 0) speak();
      else timer = setTimeout(speak, wait);
    }
  }

  // ---- time ------------------------------------------------------------------------------------------------
  /** Call `step()` `rate` times a second, while the lab is in view and the page is visible.
   *
   * It plays from the start unless `autoplay` is false or the reader asked for reduced motion. A step that returns
   * false ends the play. `rate` may be set later; when steps take long, fewer are made, never a frame longer than
   * about 12 ms more than one step. `onChange(playing)` hears of play and pause; `step()` makes one step by hand.
   */
  function loop(step, { rate = 60, autoplay = true, onChange = null } = {}) {
    const listeners = onChange ? [onChange] : [];
    let playing = false, inView = false, frame = 0, due = 0, last = 0;
    const wanted = () => playing && inView && !document.hidden;
    function tick(now) {
      frame = 0;
      if (!wanted()) return;
      due = Math.min(due + ((now - last) / 1000) * self.rate, Math.max(1, self.rate / 10));
      last = now;
      const begin = performance.now();
      while (due >= 1 && playing) {
        due -= 1;
        if (step() === false) set(false);
        if (performance.now() - begin > 12) due = Math.min(due, 1);
        if (performance.now() - begin > 12) break;
      }
      wake();
    }
    function wake() {
      if (frame || !wanted()) return;
      frame = requestAnimationFrame(tick);
    }
    function set(now) {
      if (playing === now) return;
      playing = now;
      [last, due] = [performance.now(), 1];
      for (const listen of listeners) listen(playing);
      wake();
    }
    const resumed = () => {
      last = performance.now();
      wake();
    };
    const self = {
      rate,
      play: () => set(true),
      pause: () => set(false),
      step: () => step(),
      get playing() { return playing; },
      listen: (listener) => listeners.push(listener),
    };
    new IntersectionObserver((entries) => {
      inView = entries[entries.length - 1].isIntersecting;
      resumed();
    }).observe(live);
    document.addEventListener("visibilitychange", resumed);
    if (autoplay && !still.matches) set(true);
    return self;
  }

  /** Add Play/Pause and Step buttons for a loop, and Reset where `onReset` is given; returns the three buttons. */
  function transport(parentElement, player, { onReset = null, step = "Step", play = "Play", pause = "Pause", reset = "Reset" } = {}) {
    (parentElement.element ?? parentElement).classList.add("transport");
    const main = button(parentElement, player.playing ? pause : play, () => (player.playing ? player.pause() : player.play()));
    const one = button(parentElement, step, () => {
      player.pause();
      player.step();
    });
    const again = onReset && button(parentElement, reset, onReset);
    player.listen((playing) => {
      main.textContent = playing ? pause : play;
    });
    return { play: main, step: one, reset: again };
  }

  // ---- what travels in the page ----------------------------------------------------------------------------
  const loaded = {};
  const read = (id) => {
    const element = document.getElementById(id);
    if (!element) throw new Error(`the page carries nothing called ${id}`);
    return JSON.parse(element.textContent);
  };

  /** Return `{name: tensor}` of the weights that `export` was given under this name; decoded at the first call. */
  function weights(which) {
    if (!loaded[which]) loaded[which] = GB.load(read(`weights-${which}`));
    return loaded[which];
  }

  const networks = {};

  /** Return the function that a trained network computes, from a tensor to a tensor; `export` was given its name. */
  function network(which) {
    if (!networks[which]) networks[which] = GB.sequential(self.data.networks[which], weights(which));
    return networks[which];
  }

  let data;
  addEventListener("error", (event) => root.dataset.ready !== "yes" && complain(event.error ?? event.message));

  const self = {
    start, canvas, pointer, columns, segments, predict, hint, write, group, row, slider, button, choice, toggle, say, colour, onTheme, loop, transport, weights, network, words, line, FONT,
    /** What `export` was given as `data`. */
    get data() { return data ?? (data = read("lab-data")); },
    /** "dark" or "light". */
    get theme() { return root.dataset.theme ?? (dark.matches ? "dark" : "light"); },
    /** Whether the reader asked for reduced motion. */
    get reducedMotion() { return still.matches; },
  };
  return self;
})();
