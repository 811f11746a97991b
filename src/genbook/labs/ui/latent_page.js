"use strict";
/* What the pages of the labs on autoencoders and variational autoencoders share: pictures of 32 × 32 pixels on a
 * canvas, words and lines beside them, and drawing once a frame. */
const LatentPage = (() => {
  const { FONT, words, line } = Lab;
  const HEAD = 22; // above each picture: its name
  const FOOT = 22; // below: a number

  const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (one, other, share) => {
    const [p, q] = [parts(Lab.colour(one)), parts(Lab.colour(other))];
    return `rgb(${p.map((v, k) => Math.round(share * v + (1 - share) * q[k])).join(",")})`;
  };

  const make = (tag, parent, properties = {}) => {
    const element = Object.assign(document.createElement(tag), properties);
    parent.appendChild(element);
    return element;
  };

  function disc(c, colour, x, y, radius) {
    c.beginPath();
    c.arc(x, y, radius, 0, 7);
    c.fillStyle = Lab.colour(colour);
    c.fill();
  }

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

  /** A canvas element that holds shares of ink, `width` to a row, in the colour of a meaning at `strength`. */
  function bitmap(ink, width, meaning, strength = 1, element = document.createElement("canvas")) {
    [element.width, element.height] = [width, ink.length / width];
    const brush = element.getContext("2d"), image = brush.createImageData(element.width, element.height);
    const paper = parts(Lab.colour("paper")), full = parts(Lab.colour(meaning));
    for (let i = 0; i < ink.length; i += 1) {
      const share = strength * Math.min(Math.max(ink[i], 0), 1);
      for (let k = 0; k < 3; k += 1) image.data[4 * i + k] = paper[k] + share * (full[k] - paper[k]);
      image.data[4 * i + 3] = 255;
    }
    brush.putImageData(image, 0, 0);
    return element;
  }

  const stamp = document.createElement("canvas");

  /** Draw a picture, framed, at a place of a canvas. */
  function picture(c, ink, meaning, x, y, size) {
    c.imageSmoothingEnabled = false;
    c.drawImage(bitmap(ink, 32, meaning, 1, stamp), x, y, size, size);
    line(c, "edge", 1, () => c.rect(x + 0.5, y + 0.5, size - 1, size - 1));
  }

  /** Add a canvas that holds one picture, its name above and a line of text below: `show({ink, meaning, name, note})`. */
  function plate(parent, { label, size, note = true }) {
    let shown = null;
    const view = Lab.canvas(make("div", parent), {
      label, width: size, height: size + HEAD + (note ? FOOT : 0),
      draw(c, W, H) {
        if (!shown) return;
        const side = Math.min(W, H - HEAD - (note ? FOOT : 0));
        words(c, shown.name, 0, HEAD / 2, { colour: shown.meaning, weight: "600" });
        picture(c, shown.ink, shown.meaning, 0, HEAD, side);
        if (note && shown.note) words(c, shown.note, 0, HEAD + side + FOOT / 2, { colour: "ink" });
      },
    });
    view.show = (what) => {
      shown = what;
      view.redraw();
    };
    return view;
  }

  return { FONT, HEAD, FOOT, mix, make, words, line, disc, painter, bitmap, picture, plate };
})();
