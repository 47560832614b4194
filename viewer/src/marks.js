// Draws nuclei: rings, crosses and dots from small stamps when near; single pixels when far out.

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
const ORDER = ["uncounted", "negative", "positive"];

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
    if (grids[name] && shown[name]) stampAll(context, grids[name], stampFor(name, umPerScreenPx, view.ratio), view);
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
  const um = name === "positive" ? RING_UM : CROSS_UM;
  const smallest = name === "positive" ? 4 : name === "negative" ? 2.5 : 2;
  const radius = Math.min(40, Math.max(smallest, um / umPerScreenPx));
  const key = `${name} ${radius.toFixed(1)} ${ratio}`;
  if (!stamps.has(key)) {
    if (stamps.size > 64) stamps.clear();
    stamps.set(key, makeStamp(name, radius, ratio));
  }
  return stamps.get(key);
}

function makeStamp(name, radius, ratio) {
  const half = Math.ceil(radius + 4);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * half * ratio;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, half * ratio, half * ratio);
  drawMark(context, name, radius);
  return canvas;
}

// One mark around (0, 0): also used by the legend.
export function drawMark(context, name, radius) {
  context.lineCap = "round";
  const line = Math.min(2.75, Math.max(1.5, radius * 0.22));
  const path = new Path2D();
  if (name === "negative") {
    path.moveTo(-radius, -radius);
    path.lineTo(radius, radius);
    path.moveTo(-radius, radius);
    path.lineTo(radius, -radius);
  } else {
    path.arc(0, 0, name === "positive" ? radius : Math.min(radius, 4), 0, 2 * Math.PI);
  }
  context.strokeStyle = COLORS[`${name}Casing`];
  if (name === "uncounted") {
    context.lineWidth = 2;
    context.stroke(path);
    context.fillStyle = COLORS.uncounted;
    context.fill(path);
    return;
  }
  const inner = name === "negative" ? Math.max(1.6, line) : line;
  context.lineWidth = inner + 2;
  context.stroke(path);
  context.strokeStyle = COLORS[name];
  context.lineWidth = inner;
  context.stroke(path);
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

function layersOf(name, ratio) {
  const step = Math.max(1, Math.round(ratio));
  if (name === "negative") return [[diagonals(step, step > 1 ? 2 : 1), colorWord(COLORS.negative)]];
  if (name === "uncounted") return [[dots(step), colorWord(COLORS.uncounted)]];
  return [
    [dots(2.3 * step), colorWord(COLORS.positiveCasing)],
    [dots(1.5 * step), colorWord(COLORS.positive)],
  ];
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
    if (!grids[name] || !shown[name]) continue;
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
