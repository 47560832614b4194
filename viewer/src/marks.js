// Draws nuclei: rings, crosses and dots from small stamps when near; single pixels when far out.
// Errors: a missed nucleus is a hollow square, an invented one a triangle, one in the wrong class has both:
// the square in the color of what it is, the triangle in the color of what it was taken for.

import { layerOf } from "./nuclei.js";

export const COLORS = {
  positive: "#2BE38B",
  positiveCasing: "#06231A",
  negative: "#D1003F",
  negativeCasing: "#FFFFFF",
  uncounted: "#7D8894",
  uncountedCasing: "#FFFFFF",
};

const FAR_OUT = 0.4; // screen pixels per picture pixel
const RING_UM = 4.2;
const CROSS_UM = 1.7;
const SQUARE_UM = 3.8;
const TRIANGLE_UM = 3.4;
// Kinds from below to above, each with its marks: shape, and the class whose color it has.
const MARKS = {
  uncounted: [["dot", "uncounted"]],
  removed: [["dot", "uncounted"]],
  negative: [["cross", "negative"]],
  positive: [["ring", "positive"]],
  inventedNegative: [["triangle", "negative"]],
  inventedPositive: [["triangle", "positive"]],
  missedNegative: [["square", "negative"]],
  missedPositive: [["square", "positive"]],
  wrongNegative: [["square", "negative"], ["triangle", "positive"]],
  wrongPositive: [["square", "positive"], ["triangle", "negative"]],
};
const ORDER = Object.keys(MARKS);
const SIZES = {
  ring: { um: RING_UM, smallest: 4 },
  cross: { um: CROSS_UM, smallest: 2.5 },
  dot: { um: CROSS_UM, smallest: 2 },
  square: { um: SQUARE_UM, smallest: 4 },
  triangle: { um: TRIANGLE_UM, smallest: 4 },
};

// grids: as of readNuclei; view: {scale, left, top (screen px of picture corner), ratio, width, height}.
export function drawMarks(context, grids, shown, view, umPerPx) {
  const { width, height } = context.canvas;
  if (view.scale < FAR_OUT) {
    drawFarOut(context, grids, shown, view);
    return;
  }
  context.clearRect(0, 0, width, height);
  const umPerScreenPx = (umPerPx ?? 0.25) / view.scale;
  for (const name of ORDER) {
    if (grids[name] && shown[layerOf(name)]) stampAll(context, grids[name], stampFor(name, umPerScreenPx, view.ratio), view);
  }
}

export function visibleRectangle(view, margin) {
  return {
    left: (-view.left - margin) / view.scale - 0.5,
    top: (-view.top - margin) / view.scale - 0.5,
    right: (view.width - view.left + margin) / view.scale - 0.5,
    bottom: (view.height - view.top + margin) / view.scale - 0.5,
  };
}

function stampAll(context, grid, stamp, view) {
  const { scale, left, top, ratio } = view;
  const half = stamp.width / 2;
  const xOffset = left * ratio + 0.5 * scale * ratio - half;
  const yOffset = top * ratio + 0.5 * scale * ratio - half;
  const factor = scale * ratio;
  grid.ranges(visibleRectangle(view, stamp.width), (from, to) => {
    for (let i = from; i < to; i++) {
      context.drawImage(stamp, Math.round(grid.x[i] * factor + xOffset), Math.round(grid.y[i] * factor + yOffset));
    }
  });
}

const stamps = new Map();

function stampFor(name, umPerScreenPx, ratio) {
  const radii = MARKS[name].map(([shape]) => Math.min(40, Math.max(SIZES[shape].smallest, SIZES[shape].um / umPerScreenPx)));
  const key = `${name} ${radii[0].toFixed(1)} ${ratio}`;
  if (!stamps.has(key)) {
    if (stamps.size > 64) stamps.clear();
    stamps.set(key, makeStamp(MARKS[name], radii, ratio));
  }
  return stamps.get(key);
}

function makeStamp(marks, radii, ratio) {
  const half = Math.ceil(1.3 * Math.max(...radii) + 4);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * half * ratio;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, half * ratio, half * ratio);
  for (const [index, [shape, color]] of marks.entries()) drawMark(context, shape, color, radii[index]);
  return canvas;
}

// One mark around (0, 0).
function drawMark(context, shape, color, radius) {
  context.lineCap = "round";
  context.lineJoin = shape === "square" ? "miter" : "round";
  const line = Math.min(2.75, Math.max(1.5, radius * 0.22));
  const path = pathOf(shape, radius);
  context.strokeStyle = COLORS[`${color}Casing`];
  if (shape === "dot") {
    context.lineWidth = 2;
    context.stroke(path);
    context.fillStyle = COLORS[color];
    context.fill(path);
    return;
  }
  const inner = shape === "cross" ? Math.max(1.6, line) : line;
  context.lineWidth = inner + 2;
  context.stroke(path);
  context.strokeStyle = COLORS[color];
  context.lineWidth = inner;
  context.stroke(path);
}

function pathOf(shape, radius) {
  const path = new Path2D();
  if (shape === "cross") {
    path.moveTo(-radius, -radius);
    path.lineTo(radius, radius);
    path.moveTo(-radius, radius);
    path.lineTo(radius, -radius);
  } else if (shape === "square") {
    path.rect(-radius, -radius, 2 * radius, 2 * radius);
  } else if (shape === "triangle") {
    path.moveTo(0, -1.15 * radius);
    path.lineTo(radius, 0.75 * radius);
    path.lineTo(-radius, 0.75 * radius);
    path.closePath();
  } else {
    path.arc(0, 0, shape === "ring" ? radius : Math.min(radius, 4), 0, 2 * Math.PI);
  }
  return path;
}

// --- far out: a mark is a few pixels of an ImageData ---------------------------------------------------

function colorWord(hex) {
  const value = parseInt(hex.slice(1), 16);
  return 0xff000000 | ((value & 0xff) << 16) | (value & 0xff00) | (value >> 16);
}

function dots(radius) {
  const found = [];
  const reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) for (let x = -reach; x <= reach; x++) if (x * x + y * y <= radius * radius) found.push([x, y]);
  return found;
}

function diagonals(reach, thickness) {
  const found = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) if (Math.abs(Math.abs(x) - Math.abs(y)) < thickness) found.push([x, y]);
  }
  return found;
}

// The sides of a square, `thickness` wide, the outermost `reach` away.
function frame(reach, thickness) {
  const found = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) if (Math.max(Math.abs(x), Math.abs(y)) > reach - thickness) found.push([x, y]);
  }
  return found;
}

// A filled triangle that points up.
function wedge(reach) {
  const found = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) if (2 * Math.abs(x) <= y + reach) found.push([x, y]);
  }
  return found;
}

function layersOf(name, ratio) {
  const step = Math.max(1, Math.round(ratio));
  return MARKS[name].flatMap(([shape, color]) => pixelsOf(shape, color, step));
}

function pixelsOf(shape, color, step) {
  const own = colorWord(COLORS[color]);
  const casing = colorWord(COLORS[`${color}Casing`]);
  if (shape === "cross") return [[diagonals(step, step > 1 ? 2 : 1), own]];
  if (shape === "dot") return [[dots(step), own]];
  if (shape === "square") return [[frame(4 * step, 3 * step), casing], [frame(3 * step, step), own]];
  if (shape === "triangle") return [[wedge(4 * step), casing], [wedge(2 * step), own]];
  return [[dots(2.3 * step), casing], [dots(1.5 * step), own]];
}

const buffers = new WeakMap();

function bufferFor(context) {
  const { width, height } = context.canvas;
  let buffer = buffers.get(context);
  if (!buffer || buffer.image.width !== width || buffer.image.height !== height) {
    const image = context.createImageData(width, height);
    buffer = { image, words: new Uint32Array(image.data.buffer) };
    buffers.set(context, buffer);
  }
  return buffer;
}

function drawFarOut(context, grids, shown, view) {
  const { image, words } = bufferFor(context);
  words.fill(0);
  for (const name of ORDER) {
    if (!grids[name] || !shown[layerOf(name)]) continue;
    for (const [offsets, color] of layersOf(name, view.ratio)) {
      writePixels(words, image.width, image.height, grids[name], offsets, color, view);
    }
  }
  context.putImageData(image, 0, 0);
}

function writePixels(words, width, height, grid, offsets, color, view) {
  const margin = Math.max(...offsets.map(([x, y]) => Math.max(Math.abs(x), Math.abs(y))));
  const steps = Int32Array.from(offsets, ([x, y]) => y * width + x);
  const factor = view.scale * view.ratio;
  const xOffset = (view.left + 0.5 * view.scale) * view.ratio;
  const yOffset = (view.top + 0.5 * view.scale) * view.ratio;
  const { x, y } = grid;
  grid.ranges(visibleRectangle(view, 0), (from, to) => {
    for (let i = from; i < to; i++) {
      const column = Math.floor(x[i] * factor + xOffset);
      const row = Math.floor(y[i] * factor + yOffset);
      if (column < margin || row < margin || column >= width - margin || row >= height - margin) continue;
      const at = row * width + column;
      for (let k = 0; k < steps.length; k++) words[at + steps[k]] = color;
    }
  });
}
