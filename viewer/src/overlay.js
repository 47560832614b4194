// The overlay of one run: fetched as data, drawn late. Lines and areas here, nuclei in marks.js.

import { fetchOrThrow } from "./dom.js";
import { readNuclei } from "./nuclei.js";

const TUMOR = [0x00, 0x91, 0xb3];
const BORDER = "#00708C";
const OUTLINE = "#FFD60A";
const INK = "#17222D";
const MARGIN = 0.25; // of the view's side, drawn on each side beyond it
const SMALLEST_LEVEL = 256;
const FAINTEST = 0.35; // share of the opacity at p = 0.5; it rises to all of it at p = 1

export async function loadOverlay(run) {
  const base = `/ki67/runs/${encodeURIComponent(run)}`;
  const lines = await (await fetchOrThrow(`${base}/overlay.json`)).json();
  const [nuclei, heat] = await Promise.all([
    lines.has_nuclei ? fetchOrThrow(`${base}/nuclei.bin`).then((answer) => answer.arrayBuffer()) : null,
    lines.map ? fetchOrThrow(`${base}/tumor.png`).then((answer) => answer.blob()) : null,
  ]);
  return {
    mpp: lines.mpp,
    border: lines.border.map((flat) => new Ring(flat)),
    outline: [...lines.outline, ...lines.excluded].map((flat) => new Ring(flat)),
    hotSpot: lines.hot_spot,
    grids: nuclei ? readNuclei(nuclei) : {},
    heat: heat ? { place: lines.map, levels: await halved(await colored(heat)) } : null,
  };
}

// A closed line in pixel-corner coordinates, from flat [x, y, x, y, ...] in pixel centres.
class Ring {
  constructor(flat) {
    this.points = Float32Array.from(flat, (value) => value + 0.5);
    this.paths = new Map();
    const bounds = (this.bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity });
    for (let i = 0; i < flat.length; i += 2) {
      bounds.left = Math.min(bounds.left, this.points[i]);
      bounds.right = Math.max(bounds.right, this.points[i]);
      bounds.top = Math.min(bounds.top, this.points[i + 1]);
      bounds.bottom = Math.max(bounds.bottom, this.points[i + 1]);
    }
  }

  // The path for a scale: points that would lie within a screen pixel of the last one are left out.
  path(scale) {
    const coarseness = Math.max(0, Math.floor(Math.log2(1 / scale)));
    if (!this.paths.has(coarseness)) this.paths.set(coarseness, this.trace(coarseness ? 2 ** coarseness : 0));
    return this.paths.get(coarseness);
  }

  trace(step) {
    const { points } = this;
    const path = new Path2D();
    let [x, y] = points;
    path.moveTo(x, y);
    for (let i = 2; i < points.length; i += 2) {
      if (Math.abs(points[i] - x) < step && Math.abs(points[i + 1] - y) < step) continue;
      [x, y] = [points[i], points[i + 1]];
      path.lineTo(x, y);
    }
    path.closePath();
    return path;
  }
}

// Probability as gray → the tumor tint with its alpha.
async function colored(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = image;
  for (let i = 0; i < data.length; i += 4) {
    const p = data[i] / 255;
    [data[i], data[i + 1], data[i + 2]] = TUMOR;
    data[i + 3] = p < 0.5 ? 0 : Math.round(255 * (FAINTEST + (1 - FAINTEST) * (2 * p - 1)));
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// The tint at full size and halved again and again, so that a far view does not read every cell.
async function halved(canvas) {
  const levels = [await createImageBitmap(canvas)];
  let { width, height } = canvas;
  while (Math.max(width, height) > SMALLEST_LEVEL) {
    width = Math.ceil(width / 2);
    height = Math.ceil(height / 2);
    const size = { resizeWidth: width, resizeHeight: height, resizeQuality: "high" };
    levels.push(await createImageBitmap(levels[levels.length - 1], size));
  }
  return levels;
}

// 1 when far, 0 at one screen pixel per picture pixel and nearer.
export function heatFade(scale) {
  return Math.min(1, Math.max(0, -Math.log2(scale)));
}

// Draws the lines; while the picture only moves, a drawing somewhat larger than the view is moved along.
export class LineLayer {
  constructor(context) {
    this.context = context;
    this.wide = document.createElement("canvas").getContext("2d");
  }

  // extra: {opacity, rectangle}; shown: which layers are on.
  draw(overlay, shown, view, extra) {
    const { width, height } = this.context.canvas;
    const looks = JSON.stringify([shown, extra, view.scale, width, height]);
    const resting = looks === this.looks && overlay === this.overlay;
    Object.assign(this, { looks, overlay });
    if (!resting) {
      this.drawn = null;
      drawLines(this.context, overlay, shown, view, extra);
      return;
    }
    if (!this.drawn || !this.reaches(view)) this.drawWide(overlay, shown, view, extra);
    const across = Math.round((view.left - this.drawn.left) * view.ratio);
    const down = Math.round((view.top - this.drawn.top) * view.ratio);
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.globalCompositeOperation = "copy";
    this.context.drawImage(this.wide.canvas, across, down);
    this.context.globalCompositeOperation = "source-over";
  }

  reaches(view) {
    const { left, top, width, height } = this.drawn;
    const across = view.left - left;
    const down = view.top - top;
    return across <= 0 && down <= 0 && across + width >= view.width && down + height >= view.height;
  }

  drawWide(overlay, shown, view, extra) {
    const { canvas } = this.wide;
    const margin = { x: Math.round(view.width * MARGIN), y: Math.round(view.height * MARGIN) };
    const width = view.width + 2 * margin.x;
    const height = view.height + 2 * margin.y;
    const wanted = { width: Math.round(width * view.ratio), height: Math.round(height * view.ratio) };
    if (canvas.width !== wanted.width || canvas.height !== wanted.height) Object.assign(canvas, wanted);
    const wideView = { ...view, left: view.left + margin.x, top: view.top + margin.y, width, height };
    drawLines(this.wide, overlay, shown, wideView, extra);
    this.drawn = { left: wideView.left, top: wideView.top, width, height };
  }
}

function drawLines(context, overlay, shown, view, { opacity, rectangle }) {
  const { ratio, scale, left, top } = view;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(scale * ratio, 0, 0, scale * ratio, left * ratio, top * ratio);
  const stroke = strokeIn(context, view);
  if (overlay) {
    if (overlay.heat && shown.tumor) drawHeat(context, overlay.heat, opacity * heatFade(scale), view);
    if (shown.tumor) stroke(overlay.border, [["#FFFFFF", 4], [BORDER, 2]]);
    if (shown.outline) stroke(overlay.outline, [[INK, 5], [OUTLINE, 3]]);
    if (overlay.hotSpot && shown.hotspot) drawHotSpot(overlay.hotSpot, stroke);
  }
  if (rectangle) drawRectangle(rectangle, stroke);
}

function strokeIn(context, view) {
  const seen = {
    left: -view.left / view.scale,
    top: -view.top / view.scale,
    right: (view.width - view.left) / view.scale,
    bottom: (view.height - view.top) / view.scale,
  };
  return (rings, lines, dashes = []) => {
    const visible = rings.filter(({ bounds }) => touches(bounds, seen));
    for (const [color, width, dashed] of lines) {
      context.strokeStyle = color;
      context.lineWidth = width / view.scale;
      context.lineJoin = "round";
      context.setLineDash(dashed ? dashes.map((dash) => dash / view.scale) : []);
      for (const shape of visible) context.stroke(shape.path(view.scale));
    }
    context.setLineDash([]);
  };
}

function touches(a, b) {
  return a.left <= b.right && a.right >= b.left && a.top <= b.bottom && a.bottom >= b.top;
}

function drawHeat(context, { place, levels }, opacity, view) {
  if (opacity <= 0) return;
  const cell = place.px_per_cell;
  const halvings = Math.floor(Math.log2(1 / (cell * view.scale * view.ratio))) + 1;
  const level = levels[Math.min(levels.length - 1, Math.max(0, halvings))];
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = true;
  context.drawImage(level, place.origin_x, place.origin_y, place.width * cell, place.height * cell);
  context.globalAlpha = 1;
}

function drawHotSpot(spot, stroke) {
  const x = spot.x + 0.5;
  const y = spot.y + 0.5;
  const path = new Path2D();
  path.arc(x, y, spot.radius, 0, 2 * Math.PI);
  const bounds = { left: x - spot.radius, right: x + spot.radius, top: y - spot.radius, bottom: y + spot.radius };
  stroke([{ path: () => path, bounds }], [["#FFFFFF", 4], [INK, 2, true]], [8, 6]);
}

function drawRectangle({ x, y, width, height }, stroke) {
  const path = new Path2D();
  path.rect(x, y, width, height);
  const bounds = { left: x, right: x + width, top: y, bottom: y + height };
  stroke([{ path: () => path, bounds }], [["#FFFFFF", 5], [INK, 3], ["#FFFFFF", 1.5, true]], [6, 6]);
}

// The labels of the shapes that are shown: {text, x, y} with the point in picture pixels that it hangs below.
export function labelsOf(overlay, shown, rectangle) {
  const labels = [];
  const spot = shown.hotspot ? overlay?.hotSpot : null;
  if (spot) labels.push({ text: spot.label, x: spot.x + 0.5, y: spot.y + 0.5 + spot.radius });
  if (rectangle) labels.push({ text: "Region", x: rectangle.x + rectangle.width / 2, y: rectangle.y + rectangle.height });
  return labels;
}
