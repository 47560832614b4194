// The picture viewer: OpenSeadragon for the tiles, two canvases for the layers, switches and keys around it.

import OpenSeadragon from "openseadragon";
import { Chrome, MAGNIFICATIONS, scaleOf } from "./chrome.js";
import { element, fetchOrThrow } from "./dom.js";
import { FIRST_OPACITY, FIRST_SHOWN, LayerRow } from "./layers.js";
import { drawMarks } from "./marks.js";
import { layerOf, WORDS } from "./nuclei.js";
import { labelsOf, LineLayer, loadOverlay } from "./overlay.js";
import { RegionTool } from "./region.js";

const KEY_HELP =
  "Picture. Arrow keys move, plus and minus zoom, 1 to 4 choose 5, 10, 20 and 40 times, 0 shows the whole picture, hold B for the bare picture; T, O, P, N, H and U switch layers.";
const CLICK_REACH_PX = 12;
const HIGHEST_MAGNIFICATION = 160;

// What a viewer showed last, by its key: survives leaving the page and a new place in it.
const remembered = new Map();

export class PictureView {
  constructor(root) {
    this.root = root;
    this.state = { shown: { ...FIRST_SHOWN }, opacity: FIRST_OPACITY };
    this.overlay = null;
    this.build();
    this.resized = new ResizeObserver(() => this.fitCanvases());
    this.resized.observe(this.stage);
  }

  build() {
    this.chrome = new Chrome({
      magnify: (times) => this.magnify(times),
      zoomBy: (factor) => this.zoomBy(factor),
      fit: () => this.osd?.viewport?.goHome(),
      bare: (on) => this.stage.classList.toggle("bare", on),
    });
    this.layerRow = new LayerRow(this.state, () => this.draw());
    this.region = new RegionTool(
      {
        toImage: (event) => this.toImage(event),
        visible: () => this.visible(),
        size: { width: 0, height: 0 },
        redraw: () => this.draw(),
        announce: (text) => this.chrome.say(text),
      },
      (rectangle) =>
        this.component.setStateValue("rectangle", rectangle && { ...rectangle, picture: this.picture }),
    );
    this.tiles = element("div", { class: "tiles" });
    this.lines = element("canvas", { class: "overlay lines", "aria-hidden": "true" });
    this.marks = element("canvas", { class: "overlay marks", "aria-hidden": "true" });
    this.stage = element(
      "div",
      { class: "stage", tabindex: 0, role: "application", "aria-label": KEY_HELP },
      this.tiles,
      this.lines,
      this.marks,
      this.region.sheet,
      ...this.chrome.parts,
    );
    this.stage.addEventListener("keydown", (event) => this.press(event));
    this.stage.addEventListener("keyup", (event) => this.release(event));
    this.stage.addEventListener("blur", () => this.stage.classList.remove("bare"));
    this.lineLayer = new LineLayer(this.lines.getContext("2d"));
    this.marksContext = this.marks.getContext("2d", { willReadFrequently: true });
    this.box = element("div", { class: "viewer" }, this.layerRow.row, this.region.bar, this.stage);
    this.root.append(this.box);
  }

  update(component) {
    this.component = component;
    const { data } = component;
    this.stage.style.height = `${data.height}px`;
    this.pick = data.pick;
    this.givenMpp = data.mpp;
    if (this.key === undefined) this.recall(data);
    this.region.offer(data.draw);
    if (data.picture !== this.picture) this.openPicture(data);
    if (data.run !== this.run) this.openRun(data.run);
    this.draw();
  }

  recall(data) {
    this.key = data.key;
    const memory = remembered.get(this.key);
    if (memory) Object.assign(this.state, { shown: { ...memory.shown }, opacity: memory.opacity });
    this.region.rectangle = data.rectangle;
    this.region.show();
  }

  async openPicture({ picture, rectangle }) {
    this.picture = picture;
    this.asked = performance.now();
    delete this.stage.dataset.drawn;
    this.osd?.destroy();
    this.osd = null;
    this.isOpen = false;
    this.info = null;
    this.region.rectangle = rectangle;
    this.region.show();
    this.problem = null;
    this.chrome.keep("Loading the picture…");
    const base = `/ki67/pictures/${encodeURIComponent(picture)}`;
    try {
      const info = await (await fetchOrThrow(`${base}/info.json`)).json();
      if (picture !== this.picture) return;
      this.info = info;
      this.region.picture.size = info;
      this.startOpenSeadragon(base);
    } catch (error) {
      if (picture === this.picture) this.fail(error.message);
    }
  }

  // A viewer in a folded part of the page has no size yet: its picture waits until it has.
  startOpenSeadragon(base) {
    this.waiting = this.stage.clientWidth ? null : base;
    if (this.waiting) return;
    const { width, height, tile_px: tileSize, overlap_px: tileOverlap, levels } = this.info;
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const highest = this.mpp ? scaleOf(HIGHEST_MAGNIFICATION, this.mpp) : 8;
    const osd = (this.osd = OpenSeadragon({
      element: this.tiles,
      drawer: "canvas",
      tileSources: {
        width,
        height,
        tileSize,
        tileOverlap,
        minLevel: 0,
        maxLevel: levels - 1,
        getTileUrl: (level, x, y) => `${base}/tiles/${level}/${x}_${y}.jpg`,
      },
      showNavigationControl: false,
      keyboardNavEnabled: false,
      tabIndex: "",
      animationTime: calm ? 0 : 0.4,
      springStiffness: 9,
      visibilityRatio: 0.4,
      minZoomImageRatio: 0.7,
      maxZoomPixelRatio: Math.max(4, highest),
      maxImageCacheCount: 250,
      imageLoaderLimit: 6,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
    }));
    osd.addHandler("open", () => this.opened());
    osd.addHandler("open-failed", () => this.fail("The picture cannot be shown; reload the page."));
    osd.addHandler("tile-load-failed", () => this.chrome.say("A part of the picture could not be loaded; zoom or reload the page."));
    osd.addHandler("update-viewport", () => this.draw());
    osd.world.addHandler("add-item", ({ item }) => item.addHandler("fully-loaded-change", (event) => this.loaded(event)));
    osd.addHandler("canvas-click", (event) => event.quick && this.click(event.position));
  }

  fail(sentence) {
    this.problem = sentence;
    this.chrome.keep(sentence);
  }

  opened() {
    this.chrome.keep(this.problem);
    const memory = remembered.get(this.key);
    if (memory?.picture === this.picture && memory.centre) {
      const { viewport } = this.osd;
      viewport.zoomTo(viewport.imageToViewportZoom(memory.scale), null, true);
      viewport.panTo(viewport.imageToViewportCoordinates(...memory.centre), true);
    }
    this.isOpen = true;
    this.fitCanvases();
  }

  // Milliseconds until everything of the first view was drawn: for measurements.
  loaded({ fullyLoaded }) {
    if (!fullyLoaded || this.stage.dataset.drawn) return;
    requestAnimationFrame(() => (this.stage.dataset.drawn = Math.round(performance.now() - this.asked)));
  }

  async openRun(run) {
    this.run = run;
    this.overlay = null;
    this.layerRow.show(null);
    if (!run) return;
    try {
      const overlay = await loadOverlay(run);
      if (run !== this.run) return;
      this.overlay = overlay;
      this.layerRow.show(overlay);
      this.draw();
    } catch (error) {
      if (run === this.run) this.fail(error.message);
    }
  }

  get mpp() {
    return this.overlay?.mpp ?? this.givenMpp ?? this.info?.mpp ?? null;
  }

  // Where the picture lies on the stage just now, in screen pixels.
  view() {
    if (!this.osd?.viewport || !this.osd.world.getItemCount()) return null;
    const { viewport } = this.osd;
    const corner = viewport.pixelFromPoint(viewport.imageToViewportCoordinates(0, 0), true);
    return {
      scale: viewport.viewportToImageZoom(viewport.getZoom(true)),
      left: corner.x,
      top: corner.y,
      width: this.stage.clientWidth,
      height: this.stage.clientHeight,
      ratio: this.lines.width / Math.max(1, this.stage.clientWidth),
    };
  }

  draw() {
    const view = this.view();
    if (!view?.width || !this.lines.width) return;
    this.lineLayer.draw(this.overlay, this.state.shown, view, {
      opacity: this.state.opacity,
      rectangle: this.region.rectangle,
    });
    drawMarks(this.marksContext, this.overlay?.grids ?? {}, this.state.shown, view, this.mpp);
    this.chrome.show(view.scale, this.mpp);
    this.chrome.place(labelsOf(this.overlay, this.state.shown, this.region.rectangle), view);
    this.remember(view);
  }

  remember(view) {
    if (!this.isOpen) return;
    const centre = [(view.width / 2 - view.left) / view.scale, (view.height / 2 - view.top) / view.scale];
    const { shown, opacity } = this.state;
    remembered.set(this.key, { picture: this.picture, scale: view.scale, centre, shown: { ...shown }, opacity });
  }

  fitCanvases() {
    if (!this.stage.clientWidth) return;
    if (this.waiting) this.startOpenSeadragon(this.waiting);
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(this.stage.clientWidth * ratio);
    const height = Math.round(this.stage.clientHeight * ratio);
    for (const canvas of [this.lines, this.marks]) {
      if (canvas.width !== width) canvas.width = width;
      if (canvas.height !== height) canvas.height = height;
    }
    this.draw();
  }

  magnify(times) {
    if (!this.mpp || !this.osd?.viewport) return;
    const { viewport } = this.osd;
    viewport.zoomTo(viewport.imageToViewportZoom(scaleOf(times, this.mpp)));
    viewport.applyConstraints();
  }

  zoomBy(factor) {
    this.osd?.viewport?.zoomBy(factor);
    this.osd?.viewport?.applyConstraints();
  }

  pan(x, y) {
    const { viewport } = this.osd;
    viewport.panBy(viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y)));
    viewport.applyConstraints();
  }

  press(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!this.act(event.key.length === 1 ? event.key.toLowerCase() : event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  // What a key does; false when it is none of ours.
  act(key) {
    if (!this.osd?.viewport) return false;
    const far = 0.15 * this.stage.clientHeight;
    const moves = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] };
    if (moves[key]) this.pan(...moves[key]);
    else if (key === "+" || key === "=") this.zoomBy(1.5);
    else if (key === "-" || key === "_") this.zoomBy(1 / 1.5);
    else if (key === "0" || key === "Home") this.osd.viewport.goHome();
    else if (MAGNIFICATIONS[Number(key) - 1]) this.magnify(MAGNIFICATIONS[Number(key) - 1]);
    else if (key === "b") this.stage.classList.add("bare");
    else if (key === "Escape" && this.region.armed) this.region.drop();
    else return this.layerRow.press(key);
    return true;
  }

  release(event) {
    if (event.key.toLowerCase() === "b") this.stage.classList.remove("bare");
  }

  click(position) {
    const view = this.view();
    if (!view || !this.overlay) return;
    const x = (position.x - view.left) / view.scale - 0.5;
    const y = (position.y - view.top) / view.scale - 0.5;
    let best = null;
    for (const [name, grid] of Object.entries(this.overlay.grids)) {
      if (!this.state.shown[layerOf(name)]) continue;
      const found = grid.nearest(x, y, CLICK_REACH_PX / view.scale);
      if (found && (!best || found.distance < best.distance)) best = { ...found, name };
    }
    if (!best) return;
    this.chrome.say(`Nucleus ${best.number}, ${WORDS[best.name]}.`);
    if (this.pick) this.component.setTriggerValue("nucleus", best.number);
  }

  toImage(event) {
    const view = this.view();
    const { left, top } = this.stage.getBoundingClientRect();
    const border = this.stage.clientLeft;
    return [
      (event.clientX - left - border - view.left) / view.scale,
      (event.clientY - top - border - view.top) / view.scale,
    ];
  }

  visible() {
    const { scale, left, top, width, height } = this.view();
    return { left: -left / scale, top: -top / scale, right: (width - left) / scale, bottom: (height - top) / scale };
  }

  destroy() {
    this.resized.disconnect();
    this.osd?.destroy();
    this.osd = this.picture = this.run = null;
    this.box.remove();
  }
}
