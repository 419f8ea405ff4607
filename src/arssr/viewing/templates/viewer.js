// The viewer: planes are cut from the images' bytes, drawn in millimetres and linked by one cross.
(async () => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const report = JSON.parse($("#report-data").textContent);
  const { shape, spacing, affine, planes, kept, against, windows } = report;
  const levels = report.levels.map((own) => [...own, NaN]); // the last byte: outside the field of view
  const [black, white] = report.window;
  const root = $("#viewer");
  const AMBER = "#ffc857";
  // Differences from below zero to above: the same colours as in the still figures.
  const DIVERGING = [[191, 230, 255], [47, 143, 221], [16, 18, 20], [232, 114, 42], [255, 226, 189]];

  // ---- bytes ----------------------------------------------------------------------------------

  async function unpack(id) {
    const text = atob($(id).textContent.trim());
    const packed = new Uint8Array(text.length);
    for (let n = 0; n < text.length; n++) packed[n] = text.charCodeAt(n);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let n = 1; n < bytes.length; n++) bytes[n] += bytes[n - 1]; // stored are the steps
    return bytes;
  }

  const images = []; // per image: [volume], or one stack of slices for each axis
  const strides = [shape[1] * shape[2], shape[2], 1];

  /** Where a plane's samples lie: the bytes, the first of them, the steps along across and up. */
  function layout(image, plane, at) {
    const { normal, across, up } = planes[plane];
    if (!kept) return [images[image][0], at[normal] * strides[normal], strides[across], strides[up]];
    const slice = kept[normal].indexOf(at[normal]) * shape[across] * shape[up];
    return [images[image][normal], slice, shape[up], 1];
  }

  const valueAt = (image, at) => {
    const [bytes, first, across, up] = layout(image, 0, at);
    return levels[image][bytes[first + at[0] * across + at[1] * up]];
  };

  /** Rows from the top, columns from the left: both run against the axes. */
  function cut(image, plane, at) {
    const [bytes, first, across, up] = layout(image, plane, at);
    const width = shape[planes[plane].across], height = shape[planes[plane].up];
    const out = new Uint8Array(width * height);
    for (let row = 0, n = 0; row < height; row++) {
      let from = first + (height - 1 - row) * up + (width - 1) * across;
      for (let column = 0; column < width; column++, from -= across) out[n++] = bytes[from];
    }
    return out;
  }

  // ---- state ----------------------------------------------------------------------------------

  const fresh = () => ({
    at: [...report.start], view: null, zoom: 1, layout: "side", show: "image", flipped: false,
    a: report.flip[0], b: report.flip[1], against, reach: report.reach,
    window: report.oneWindow ? "one" : "own", low: 0, high: 1, // black and white, as shares of the window
  });
  let state = fresh();

  const nearest = (axis, index) => {
    const whole = Math.min(shape[axis] - 1, Math.max(0, Math.round(index)));
    if (!kept) return whole;
    return kept[axis].reduce((best, n) => (Math.abs(n - whole) < Math.abs(best - whole) ? n : best));
  };
  const stepped = (axis, by) => {
    if (!kept) return nearest(axis, state.at[axis] + by);
    const n = kept[axis].indexOf(state.at[axis]) + by;
    return kept[axis][Math.min(kept[axis].length - 1, Math.max(0, n))];
  };
  const world = (at) => affine.slice(0, 3).map((row) => row[3] + row[0] * at[0] + row[1] * at[1] + row[2] * at[2]);
  const side = (mm, axis) => ["LPI", "RAS"][mm >= 0 ? 1 : 0][axis] + " " + Math.abs(mm).toFixed(1);
  const inUnits = (value) => Number.isNaN(value) ? "–" : Number(value.toPrecision(3)).toString().replace("-", "−");

  // ---- drawing --------------------------------------------------------------------------------

  const pixel = (r, g, b) => (255 << 24 | b << 16 | g << 8 | r) >>> 0;
  const OUTSIDE = pixel(38, 50, 61); // nothing is known there
  /** Black and white of an image. */
  function ends(image) {
    const [low, high] = state.window === "own" ? windows[image] : report.window;
    return [low + state.low * (high - low), low + state.high * (high - low)];
  }
  /** The grey of each of the levels of an image. */
  function greys(image) {
    const [low, high] = ends(image);
    return Uint32Array.from(levels[image], (value) => {
      if (Number.isNaN(value)) return OUTSIDE;
      const grey = Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low))));
      return pixel(grey, grey, grey);
    });
  }
  /** The colours from −reach to +reach. */
  const DIVERGING_COLOURS = Uint32Array.from({ length: 511 }, (_, n) => {
    const place = Math.min(3.9999, n / 127.5), below = Math.floor(place);
    return pixel(...DIVERGING[below].map((c, i) => Math.round(c + (place - below) * (DIVERGING[below + 1][i] - c))));
  });
  let greyTables = levels.map((_, image) => greys(image));
  const scratch = document.createElement("canvas");

  /** One plane of one image, as a bitmap of one pixel a voxel on `scratch`; differences are those from an image. */
  function paintVoxels(image, plane, at, show, from) {
    const width = shape[planes[plane].across], height = shape[planes[plane].up];
    const pixels = new ImageData(width, height);
    const out = new Uint32Array(pixels.data.buffer);
    const values = cut(image, plane, at);
    if (show === "difference") {
      const base = cut(from, plane, at), steps = 255 / state.reach;
      for (let n = 0; n < out.length; n++) {
        const step = Math.round((levels[image][values[n]] - levels[from][base[n]]) * steps);
        out[n] = Number.isNaN(step) ? OUTSIDE : DIVERGING_COLOURS[255 + Math.min(255, Math.max(-255, step))];
      }
    } else {
      for (let n = 0; n < out.length; n++) out[n] = greyTables[image][values[n]];
    }
    scratch.width = width;
    scratch.height = height;
    scratch.getContext("2d").putImageData(pixels, 0, 0);
  }

  class Panel {
    /** `fixed`: {centre, side} of a picture that does not follow the cross. */
    constructor(canvas, image, plane, fixed = null) {
      Object.assign(this, { canvas, image, plane, fixed });
      const { across, up } = planes[plane];
      this.mm = [spacing[across], spacing[up]];
      this.size = [shape[across], shape[up]];
      if (!fixed) {
        const ratio = (this.size[0] * this.mm[0]) / (this.size[1] * this.mm[1]);
        canvas.style.setProperty("--ratio", Math.min(1.5, Math.max(0.72, ratio)));
        this.listen();
      }
    }

    /** Centre (voxels) and scale (CSS pixels a mm) of what is seen. */
    geometry() {
      const { across, up } = planes[this.plane];
      const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
      if (this.fixed) {
        return { width, height, scale: width / this.fixed.side, centre: [this.fixed.centre[across], this.fixed.centre[up]] };
      }
      const fit = Math.min(width / (this.size[0] * this.mm[0]), height / (this.size[1] * this.mm[1]));
      const centre = state.view ? [state.view[across], state.view[up]] : this.size.map((n) => (n - 1) / 2);
      return { width, height, scale: fit * state.zoom, centre };
    }

    toPixels(g, u, v) {
      return [g.width / 2 + (g.centre[0] - u) * this.mm[0] * g.scale, g.height / 2 + (g.centre[1] - v) * this.mm[1] * g.scale];
    }

    draw() {
      const g = this.geometry();
      if (!g.width || !g.height) return;
      const ratio = Math.min(3, window.devicePixelRatio || 1);
      this.canvas.width = Math.round(g.width * ratio);
      this.canvas.height = Math.round(g.height * ratio);
      const context = this.canvas.getContext("2d");
      context.scale(ratio, ratio);
      const at = this.fixed ? this.fixed.centre : state.at;
      paintVoxels(this.image, this.plane, at, this.canvas.dataset.show || state.show, this.fixed ? against : state.against);
      const [left, top] = this.toPixels(g, this.size[0] - 0.5, this.size[1] - 0.5);
      context.imageSmoothingEnabled = Math.max(...this.mm) * g.scale * ratio < 3;
      context.imageSmoothingQuality = "high";
      context.drawImage(scratch, left, top, this.size[0] * this.mm[0] * g.scale, this.size[1] * this.mm[1] * g.scale);
      this.decorate(context, g, at);
    }

    decorate(context, g, at) {
      const plane = planes[this.plane];
      context.font = "600 11px system-ui, sans-serif";
      context.shadowColor = "#000";
      context.shadowBlur = 3;
      context.strokeStyle = context.fillStyle = AMBER;
      context.lineWidth = 1;
      if (this.fixed) {
        if (this.fixed.line) this.trace(context, g, this.fixed.line);
      } else {
        this.cross(context, g, this.toPixels(g, at[plane.across], at[plane.up]));
        for (const [text, x, y, align] of [
          [plane.left, 6, g.height / 2, "left"], [plane.right, g.width - 6, g.height / 2, "right"],
          [plane.top, g.width / 2, 11, "center"], [plane.bottom, g.width / 2, g.height - 9, "center"],
        ]) {
          context.textAlign = align;
          context.textBaseline = "middle";
          context.fillText(text, x, y);
        }
      }
      const bar = [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1].find((mm) => mm * g.scale <= g.width * 0.28) || 0.1;
      context.fillStyle = "#fff";
      context.fillRect(8, g.height - 9, bar * g.scale, 2);
      context.textAlign = "left";
      context.textBaseline = "bottom";
      context.fillText(bar + " mm", 8, g.height - 11);
    }

    cross(context, g, [x, y]) {
      const gap = 7;
      context.globalAlpha = 0.75;
      context.beginPath();
      for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, g.width, y], [x, 0, x, y - gap], [x, y + gap, x, g.height]]) {
        context.moveTo(x0, y0);
        context.lineTo(x1, y1);
      }
      context.stroke();
      context.globalAlpha = 1;
    }

    trace(context, g, line) {
      const { across, up } = planes[this.plane];
      const [start, end] = [line.start, line.end].map((p) => this.toPixels(g, p[across], p[up]));
      context.lineWidth = 1.6;
      context.beginPath();
      context.moveTo(...start);
      context.lineTo(...end);
      context.stroke();
      context.beginPath();
      context.arc(...start, 3.5, 0, 7);
      context.fill();
    }

    listen() {
      const { across, up, normal } = planes[this.plane];
      const follow = (event) => {
        const box = this.canvas.getBoundingClientRect(), g = this.geometry();
        const u = g.centre[0] - (event.clientX - box.left - g.width / 2) / (this.mm[0] * g.scale);
        const v = g.centre[1] - (event.clientY - box.top - g.height / 2) / (this.mm[1] * g.scale);
        moveTo({ [across]: nearest(across, u), [up]: nearest(up, v) }, false);
      };
      this.canvas.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        this.canvas.setPointerCapture(event.pointerId);
        follow(event);
      });
      this.canvas.addEventListener("pointermove", (event) => {
        if (this.canvas.hasPointerCapture(event.pointerId)) follow(event);
      });
      this.canvas.addEventListener("pointerup", () => moveTo({}, true));
      this.canvas.addEventListener("wheel", (event) => {
        if (document.activeElement !== this.canvas || event.ctrlKey) return; // else the page scrolls
        event.preventDefault();
        moveTo({ [normal]: stepped(normal, event.deltaY < 0 ? 1 : -1) });
      }, { passive: false });
      this.canvas.addEventListener("keydown", (event) => {
        const by = event.shiftKey ? 5 : 1;
        const move = {
          ArrowLeft: [across, by], ArrowRight: [across, -by], ArrowUp: [up, by], ArrowDown: [up, -by],
          PageUp: [normal, by], PageDown: [normal, -by],
        }[event.key];
        if (!move) return;
        event.preventDefault();
        moveTo({ [move[0]]: stepped(...move) });
      });
    }
  }

  // ---- the page -------------------------------------------------------------------------------

  /** Move the cross along some axes; with `settle`, bring it back into view where it left it. */
  function moveTo(places, settle = true) {
    for (const [axis, index] of Object.entries(places)) state.at[axis] = nearest(Number(axis), index);
    if (settle && state.view) {
      const left = state.at.some((n, axis) => Math.abs(n - state.view[axis]) > (0.4 * shape[axis]) / state.zoom);
      if (left) state.view = [...state.at];
    }
    redraw();
  }

  function change(changes) {
    const zoomed = "zoom" in changes && changes.zoom !== state.zoom;
    Object.assign(state, changes);
    if (zoomed) state.view = state.zoom > 1 ? [...state.at] : null;
    greyTables = levels.map((_, image) => greys(image));
    redraw();
  }

  const followers = [], still = [];
  let waiting = false, stillDue = true;
  function redraw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      showState();
      for (const panel of followers) panel.draw();
      if (stillDue) for (const panel of still) panel.draw();
      stillDue = false;
    });
  }

  function showState() {
    root.dataset.layout = state.layout;
    root.dataset.show = state.show;
    for (const name of ["layout", "show", "zoom", "window"]) {
      for (const radio of $$(`input[name="${name}"]`, root)) radio.checked = radio.value === String(state[name]);
    }
    const shown = state.flipped ? state.b : state.a;
    $("#pick-A").value = state.a;
    $("#pick-B").value = state.b;
    $("#against").value = state.against;
    const percent = (value) => Math.round((100 * value) / (white - black));
    $("#low").value = Math.round(100 * state.low);
    $("#high").value = Math.round(100 * state.high);
    $("#reach").value = percent(state.reach);
    const mm = world(state.at);
    $("#place").textContent = mm.map(side).join(" · ") + " mm";
    const [darkest, brightest] = ends(0);
    $("#levels").textContent = state.window === "own" ? "each image in its own window" : `black ${inUnits(darkest)}, white ${inUnits(brightest)}`;
    for (const end of $$("[data-reach]")) end.textContent = (end.dataset.reach < 0 ? "−" : "+") + inUnits(state.reach);
    for (const section of $$(".plane", root)) {
      const { normal } = planes[section.dataset.plane];
      $(".plane-head input", section).value = state.at[normal];
      $(".plane-head output", section).textContent = side(mm[normal], normal) + " mm";
      for (const figure of $$("figure", section)) {
        const image = Number(figure.dataset.image);
        const same = state.show === "difference" && image === state.against;
        figure.hidden = state.layout === "flip" ? image !== shown : same;
        const base = state.show === "difference" ? valueAt(state.against, state.at) : 0;
        $("figcaption output", figure).textContent = inUnits(valueAt(image, state.at) - base);
      }
    }
  }

  function connect() {
    const stills = (changes) => { stillDue = true; change(changes); };
    for (const name of ["layout", "show", "zoom", "window"]) {
      for (const radio of $$(`input[name="${name}"]`, root)) {
        radio.addEventListener("change", () => stills({ [name]: name === "zoom" ? Number(radio.value) : radio.value }));
      }
    }
    const onInput = (id, act) => $(id).addEventListener("input", (event) => act(Number(event.target.value)));
    onInput("#pick-A", (a) => change({ a, flipped: false }));
    onInput("#pick-B", (b) => change({ b, flipped: true }));
    onInput("#against", (value) => change({ against: value }));
    const share = (percent) => (percent / 100) * (white - black);
    onInput("#low", (percent) => {
      const low = percent / 100;
      stills({ low, high: Math.max(state.high, low + 0.01) });
    });
    onInput("#high", (percent) => {
      const high = percent / 100;
      stills({ high, low: Math.min(state.low, high - 0.01) });
    });
    onInput("#reach", (percent) => stills({ reach: share(percent) }));
    const flip = () => change(state.layout === "flip" ? { flipped: !state.flipped } : { layout: "flip" });
    const reset = () => { state = fresh(); stills({}); };
    $("#flip").addEventListener("click", flip);
    $("#reset").addEventListener("click", reset);
    for (const button of $$("[data-at]")) {
      button.addEventListener("click", () => {
        const at = button.dataset.at.split(",").map(Number);
        Object.assign(state, { at, zoom: Math.max(2, state.zoom), view: [...at] });
        redraw();
        root.scrollIntoView({ behavior: "smooth" });
      });
    }
    for (const section of $$(".plane", root)) {
      const { normal } = planes[section.dataset.plane];
      $(".plane-head input", section).addEventListener("input", (event) => moveTo({ [normal]: Number(event.target.value) }));
    }
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      const act = {
        f: flip, d: () => change({ show: state.show === "image" ? "difference" : "image" }),
        "+": () => change({ zoom: Math.min(4, state.zoom * 2) }), "=": () => change({ zoom: Math.min(4, state.zoom * 2) }),
        "-": () => change({ zoom: Math.max(1, state.zoom / 2) }), 0: reset,
      }[event.key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      act();
    });
    new ResizeObserver(() => { stillDue = true; redraw(); }).observe(document.body);
  }

  function assemble() {
    for (const section of $$(".plane", root)) {
      for (const figure of $$("figure", section)) {
        followers.push(new Panel($("canvas", figure), Number(figure.dataset.image), Number(section.dataset.plane)));
      }
    }
    for (const block of $$(".detail")) {
      const detail = report.details[block.dataset.detail];
      for (const figure of $$("figure", block)) {
        for (const canvas of $$("canvas", figure)) still.push(new Panel(canvas, Number(figure.dataset.image), detail.plane, detail));
      }
    }
    const line = { centre: report.line.centre, side: report.line.length_mm * 1.7, line: report.line };
    still.push(new Panel($("#line canvas"), against, 0, line));
    const stops = DIVERGING.map((rgb) => `rgb(${rgb})`).join(",");
    for (const strip of $$(".legend i")) strip.style.background = `linear-gradient(to right, ${stops})`;
  }

  const status = $("#status");
  document.body.style.setProperty("--columns", Math.min(6, report.images.length));
  document.body.style.setProperty("--narrow", report.images.length === 3 ? 3 : 2); // on a phone, without a rest
  if (!window.DecompressionStream) {
    status.hidden = false;
    status.textContent = "This browser is too old to unpack the pictures (it has no DecompressionStream); the curves and tables below need nothing.";
    return;
  }
  status.hidden = false;
  status.textContent = "Unpacking the images …";
  for (let image = 0; image < report.images.length; image++) {
    const parts = kept ? [0, 1, 2] : [0];
    images.push(await Promise.all(parts.map((part) => unpack(`#bytes-${image}-${part}`))));
  }
  status.hidden = true;
  assemble();
  connect();
  redraw();
  requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = "yes"; }));
})();
