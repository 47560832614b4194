// The overlay of one run: fetched as data, drawn late. Lines and areas here, nuclei in marks.js.

import { fetchOrThrow } from "./dom.js";
import { readNuclei } from "./nuclei.js";

const TUMOR = [0x00, 0x91, 0xb3];
const BORDER = "#00708C";
const OUTLINE = "#FFD60A";
const INK = "#17222D";
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
    border: lines.border.map(ringOf),
    outline: [...lines.outline, ...lines.excluded].map(ringOf),
    hotSpot: lines.hot_spot,
    grids: nuclei ? readNuclei(nuclei) : {},
    heat: heat ? { place: lines.map, canvas: await colored(heat) } : null,
  };
}

// Flat [x, y, x, y, ...] in pixel centres → a path in pixel corners, with its bounds.
function ringOf(flat) {
  const path = new Path2D();
  const bounds = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let i = 0; i < flat.length; i += 2) {
    const x = flat[i] + 0.5;
    const y = flat[i + 1] + 0.5;
    if (i === 0) path.moveTo(x, y);
    else path.lineTo(x, y);
    bounds.left = Math.min(bounds.left, x);
    bounds.right = Math.max(bounds.right, x);
    bounds.top = Math.min(bounds.top, y);
    bounds.bottom = Math.max(bounds.bottom, y);
  }
  path.closePath();
  return { path, bounds };
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

// 1 when far, 0 at one screen pixel per picture pixel and nearer.
export function heatFade(scale) {
  return Math.min(1, Math.max(0, -Math.log2(scale)));
}

export function drawLines(context, overlay, shown, view, { opacity, rectangle }) {
  const { ratio, scale, left, top } = view;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(scale * ratio, 0, 0, scale * ratio, left * ratio, top * ratio);
  const stroke = strokeIn(context, view);
  if (overlay) {
    if (overlay.heat && shown.tumor) drawHeat(context, overlay.heat, opacity * heatFade(scale));
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
      for (const { path } of visible) context.stroke(path);
    }
    context.setLineDash([]);
  };
}

function touches(a, b) {
  return a.left <= b.right && a.right >= b.left && a.top <= b.bottom && a.bottom >= b.top;
}

function drawHeat(context, { place, canvas }, opacity) {
  if (opacity <= 0) return;
  const side = place.px_per_cell;
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = true;
  context.drawImage(canvas, place.origin_x, place.origin_y, canvas.width * side, canvas.height * side);
  context.globalAlpha = 1;
}

function drawHotSpot(spot, stroke) {
  const x = spot.x + 0.5;
  const y = spot.y + 0.5;
  const path = new Path2D();
  path.arc(x, y, spot.radius, 0, 2 * Math.PI);
  const bounds = { left: x - spot.radius, right: x + spot.radius, top: y - spot.radius, bottom: y + spot.radius };
  stroke([{ path, bounds }], [["#FFFFFF", 4], [INK, 2, true]], [8, 6]);
}

function drawRectangle({ x, y, width, height }, stroke) {
  const path = new Path2D();
  path.rect(x, y, width, height);
  const bounds = { left: x, right: x + width, top: y, bottom: y + height };
  stroke([{ path, bounds }], [["#FFFFFF", 5], [INK, 3], ["#FFFFFF", 1.5, true]], [6, 6]);
}

// The labels of the shapes that are shown: {text, x, y} with the point in picture pixels that it hangs below.
export function labelsOf(overlay, shown, rectangle) {
  const labels = [];
  const spot = shown.hotspot ? overlay?.hotSpot : null;
  if (spot) labels.push({ text: spot.label, x: spot.x + 0.5, y: spot.y + 0.5 + spot.radius });
  if (rectangle) labels.push({ text: "Region", x: rectangle.x + rectangle.width / 2, y: rectangle.y + rectangle.height });
  return labels;
}
