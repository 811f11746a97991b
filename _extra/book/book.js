// Whatever scrolls inside itself can be reached and scrolled with the keyboard, and says what it is.
// Nothing here is needed to read the page.
(() => {
  const names = [
    [".bd-article mjx-container[display='true'], .bd-article mjx-container.book-wide-formula", "Formula"],
    [".bd-article pre", "Code or printed text"],
    [".bd-article .pst-scrollable-table-container, .bd-article .table-wrapper", "Table"],
    [".bd-article .cell_output", "Result of the cell"],
    [".bd-sidebar-primary", "Contents", "navigation"], // it lies in no landmark: it has to be one
    [".bd-sidebar-secondary", "Contents"],
  ];
  const mark = () => {
    for (const formula of document.querySelectorAll(".bd-article mjx-container:not([display='true'])")) {
      formula.classList.remove("book-wide-formula");
      const column = formula.closest("p, li, dd, td, th, figcaption") ?? formula.parentElement;
      const inner = formula.firstElementChild;
      if (!column || !inner || !formula.getClientRects().length) continue;
      const wide = inner.getBoundingClientRect().width > column.clientWidth + 1;
      formula.classList.toggle("book-wide-formula", wide);
    }
    for (const [selector, name, role = "group"] of names) {
      for (const element of document.querySelectorAll(selector)) {
        const style = getComputedStyle(element);
        const scrolls =
          (element.scrollWidth > element.clientWidth + 1 && /auto|scroll/.test(style.overflowX)) ||
          (element.scrollHeight > element.clientHeight + 1 && /auto|scroll/.test(style.overflowY));
        if (scrolls && !element.hasAttribute("data-scrolls")) {
          element.setAttribute("data-scrolls", "");
          element.tabIndex = 0;
          if (!element.hasAttribute("role") && element.tagName !== "MJX-CONTAINER") {
            element.setAttribute("role", role);
            element.setAttribute("aria-label", name + ", scrolls");
          }
        } else if (!scrolls && element.hasAttribute("data-scrolls")) {
          element.removeAttribute("data-scrolls");
          element.removeAttribute("tabindex");
          if (element.getAttribute("role") === role) {
            element.removeAttribute("role");
            element.removeAttribute("aria-label");
          }
        }
      }
    }
  };
  // A lab's frame takes the theme of the page, and the height that it asks for.
  const labs = () => [...document.querySelectorAll(".book-lab iframe")];
  const tell = (frame) => frame.contentWindow?.postMessage({ theme: document.documentElement.dataset.theme }, "*");
  addEventListener("message", ({ source, data }) => {
    const frame = labs().find((one) => one.contentWindow === source);
    if (!frame || !data?.genbookLab || !(data.height > 0)) return;
    frame.style.height = `${Math.min(data.height, 4000) + 2}px`;
    tell(frame);
  });
  new MutationObserver(() => labs().forEach(tell)).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  let waiting;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(mark, 120);
  };
  addEventListener("load", () => {
    mark();
    window.MathJax?.startup?.promise?.then(soon);
    document.fonts?.ready?.then(soon);
  });
  addEventListener("resize", soon);
  document.addEventListener("toggle", soon, true);
})();
