// The layer row: legend and switches in one, above the picture.

import { element, icon } from "./dom.js";
import { COLORS } from "./marks.js";

const RING = [
  { tag: "circle", cx: 8, cy: 8, r: 4.6, fill: "none", stroke: COLORS.positiveCasing, "stroke-width": 4.4 },
  { tag: "circle", cx: 8, cy: 8, r: 4.6, fill: "none", stroke: COLORS.positive, "stroke-width": 2.4 },
];
const CROSS_PATH = "M4.5 4.5l7 7M11.5 4.5l-7 7";
const CROSS = [
  { d: CROSS_PATH, stroke: COLORS.negativeCasing, "stroke-width": 4, "stroke-linecap": "round" },
  { d: CROSS_PATH, stroke: COLORS.negative, "stroke-width": 2, "stroke-linecap": "round" },
];
const DOT = [{ tag: "circle", cx: 8, cy: 8, r: 3.5, fill: COLORS.uncounted, stroke: COLORS.uncountedCasing }];
const AREA = [{ tag: "rect", x: 1, y: 3, width: 14, height: 10, fill: "#0091B3", "fill-opacity": 0.4, stroke: "#00708C", "stroke-width": 1.5 }];
const LINE = [
  { tag: "rect", x: 0, y: 5.5, width: 16, height: 5, fill: "#17222D" },
  { tag: "rect", x: 0, y: 6.5, width: 16, height: 3, fill: "#FFD60A" },
];
const SPOT = [
  { tag: "circle", cx: 8, cy: 8, r: 6, fill: "none", stroke: "#FFFFFF", "stroke-width": 3 },
  { tag: "circle", cx: 8, cy: 8, r: 6, fill: "none", stroke: "#17222D", "stroke-width": 1.6, "stroke-dasharray": "3 2" },
];

const SQUARE_SHAPE = { tag: "rect", x: 3.4, y: 3.4, width: 9.2, height: 9.2, fill: "none" };
const TRIANGLE_SHAPE = { d: "M8 2.6L13.2 12.6H2.8z", fill: "none", "stroke-linejoin": "round" };
const cased = (shape, color) => [
  { ...shape, stroke: COLORS[`${color}Casing`], "stroke-width": 3.8 },
  { ...shape, stroke: COLORS[color], "stroke-width": 1.9 },
];
const MISSED = cased(SQUARE_SHAPE, "positive");
const INVENTED = cased(TRIANGLE_SHAPE, "negative");
const WRONG = [...cased(SQUARE_SHAPE, "positive"), ...cased(TRIANGLE_SHAPE, "negative")];
const any = (grids, ...names) => names.reduce((sum, name) => sum + (grids[name]?.count ?? 0), 0);

export const LAYERS = [
  { name: "tumor", label: "Tumor", key: "t", swatch: AREA, has: (overlay) => overlay.heat || overlay.border.length },
  { name: "outline", label: "Outline", key: "o", swatch: LINE, has: (overlay) => overlay.outline.length },
  { name: "positive", label: "Positive", key: "p", swatch: RING, has: (overlay) => overlay.grids.positive },
  { name: "negative", label: "Negative", key: "n", swatch: CROSS, has: (overlay) => overlay.grids.negative },
  { name: "missed", label: "Missed", key: "m", swatch: MISSED, has: ({ grids }) => any(grids, "missedPositive", "missedNegative") },
  { name: "invented", label: "Invented", key: "i", swatch: INVENTED, has: ({ grids }) => any(grids, "inventedPositive", "inventedNegative") },
  { name: "wrong", label: "Wrong class", key: "w", swatch: WRONG, has: ({ grids }) => any(grids, "wrongPositive", "wrongNegative") },
  { name: "removed", label: "Removed", key: "r", swatch: DOT, has: ({ grids }) => any(grids, "removed") },
  { name: "hotspot", label: "Hot spot", key: "h", swatch: SPOT, has: (overlay) => overlay.hotSpot },
  { name: "uncounted", label: "Not counted", key: "u", swatch: DOT, has: (overlay) => overlay.grids.uncounted?.count },
];

export const FIRST_SHOWN = { tumor: true, outline: true, positive: true, negative: true, hotspot: true, uncounted: false,
  missed: true, invented: true, wrong: true, removed: true };
export const FIRST_OPACITY = 0.3;

export class LayerRow {
  // state: {shown, opacity}, changed in place; onchange is called after every change.
  constructor(state, onchange) {
    this.state = state;
    this.onchange = onchange;
    this.row = element("div", { class: "layers", role: "group", "aria-label": "Layers", hidden: true });
    this.boxes = {};
  }

  show(overlay) {
    this.row.replaceChildren();
    this.boxes = {};
    const present = overlay ? LAYERS.filter((layer) => layer.has(overlay)) : [];
    for (const layer of present) {
      this.row.append(this.switchOf(layer));
      if (layer.name === "tumor" && overlay.heat) this.row.append(this.slider());
    }
    this.row.hidden = present.length === 0;
  }

  switchOf({ name, label, key, swatch }) {
    const box = element("input", {
      type: "checkbox",
      "aria-keyshortcuts": key.toUpperCase(),
      onchange: () => this.set(name, box.checked),
    });
    box.checked = this.state.shown[name];
    this.boxes[name] = box;
    const title = `${label}: key ${key.toUpperCase()} in the picture`;
    return element("label", { class: "layer", title }, box, icon(swatch, { className: "swatch" }), label);
  }

  slider() {
    const slider = element("input", {
      type: "range",
      class: "opacity",
      min: 0,
      max: 100,
      step: 5,
      "aria-label": "Tumor opacity, percent",
      oninput: () => {
        this.state.opacity = slider.value / 100;
        this.onchange();
      },
    });
    slider.value = Math.round(this.state.opacity * 100);
    return slider;
  }

  set(name, shown) {
    this.state.shown[name] = shown;
    if (this.boxes[name]) this.boxes[name].checked = shown;
    this.onchange();
  }

  // The layer of a key, switched; false when no layer has it.
  press(key) {
    const layer = LAYERS.find((candidate) => candidate.key === key && this.boxes[candidate.name]);
    if (layer) this.set(layer.name, !this.state.shown[layer.name]);
    return Boolean(layer);
  }
}
