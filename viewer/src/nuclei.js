// Nuclei of one kind in a grid of cells, so that a view touches only what it shows.

const NUCLEI_PER_CELL = 48;

export class NucleusGrid {
  constructor(x, y, number) {
    this.count = x.length;
    this.x = new Float32Array(this.count);
    this.y = new Float32Array(this.count);
    this.number = new Uint32Array(this.count);
    this.place(x, y);
    this.sort(x, y, number);
  }

  place(x, y) {
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    for (let i = 0; i < this.count; i++) {
      if (x[i] < left) left = x[i];
      if (x[i] > right) right = x[i];
      if (y[i] < top) top = y[i];
      if (y[i] > bottom) bottom = y[i];
    }
    if (!this.count) left = top = right = bottom = 0;
    const area = Math.max(1, (right - left + 1) * (bottom - top + 1));
    this.side = Math.max(1, Math.sqrt((area * NUCLEI_PER_CELL) / Math.max(1, this.count)));
    this.left = left;
    this.top = top;
    this.columns = Math.floor((right - left) / this.side) + 1;
    this.rows = Math.floor((bottom - top) / this.side) + 1;
  }

  sort(x, y, number) {
    const cellOf = new Uint32Array(this.count);
    this.start = new Uint32Array(this.columns * this.rows + 1);
    for (let i = 0; i < this.count; i++) {
      const column = Math.floor((x[i] - this.left) / this.side);
      const row = Math.floor((y[i] - this.top) / this.side);
      cellOf[i] = row * this.columns + column;
      this.start[cellOf[i] + 1]++;
    }
    for (let cell = 0; cell < this.columns * this.rows; cell++) this.start[cell + 1] += this.start[cell];
    const next = this.start.slice();
    for (let i = 0; i < this.count; i++) {
      const at = next[cellOf[i]]++;
      this.x[at] = x[i];
      this.y[at] = y[i];
      this.number[at] = number[i];
    }
  }

  // Calls visit(from, to) with ranges of entries whose cells touch the rectangle (full-resolution pixels).
  ranges({ left, top, right, bottom }, visit) {
    const firstColumn = Math.max(0, Math.floor((left - this.left) / this.side));
    const lastColumn = Math.min(this.columns - 1, Math.floor((right - this.left) / this.side));
    const firstRow = Math.max(0, Math.floor((top - this.top) / this.side));
    const lastRow = Math.min(this.rows - 1, Math.floor((bottom - this.top) / this.side));
    if (firstColumn > lastColumn) return;
    for (let row = firstRow; row <= lastRow; row++) {
      const from = this.start[row * this.columns + firstColumn];
      const to = this.start[row * this.columns + lastColumn + 1];
      if (from < to) visit(from, to);
    }
  }

  nearest(x, y, reach) {
    let best = null;
    let closest = reach * reach;
    this.ranges({ left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }, (from, to) => {
      for (let i = from; i < to; i++) {
        const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
        if (distance <= closest) {
          closest = distance;
          best = { x: this.x[i], y: this.y[i], number: this.number[i], distance: Math.sqrt(distance) };
        }
      }
    });
    return best;
  }
}

// By the number that stands for a kind (viewer/sources.py). Errors keep the class whose color they have.
export const KINDS = [
  "positive",
  "negative",
  "uncounted",
  "uncounted",
  "missedPositive",
  "missedNegative",
  "inventedPositive",
  "inventedNegative",
  "wrongPositive",
  "wrongNegative",
  "removed",
  "removed",
];

export const WORDS = {
  positive: "positive",
  negative: "negative",
  uncounted: "not counted",
  missedPositive: "positive, missed",
  missedNegative: "negative, missed",
  inventedPositive: "positive, invented",
  inventedNegative: "negative, invented",
  wrongPositive: "positive, taken for negative",
  wrongNegative: "negative, taken for positive",
  removed: "removed by step 1",
};

// The layer that switches a kind: one for both classes of an error.
const LAYER_OF = {
  missedPositive: "missed",
  missedNegative: "missed",
  inventedPositive: "invented",
  inventedNegative: "invented",
  wrongPositive: "wrong",
  wrongNegative: "wrong",
};

export const layerOf = (kind) => LAYER_OF[kind] ?? kind;

// The bytes of nuclei.bin (viewer/payloads.py) as one grid for each kind.
export function readNuclei(buffer) {
  const header = new DataView(buffer);
  if (header.getUint32(0, false) !== 0x4b493637) throw new Error("The nuclei could not be read; reload the page.");
  const count = header.getUint32(4, true);
  const x = new Float32Array(buffer, 8, count);
  const y = new Float32Array(buffer, 8 + 4 * count, count);
  const number = new Uint32Array(buffer, 8 + 8 * count, count);
  const kind = new Uint8Array(buffer, 8 + 12 * count, count);
  const grids = {};
  for (const name of new Set(KINDS)) {
    const chosen = [];
    for (let i = 0; i < count; i++) if (KINDS[kind[i]] === name) chosen.push(i);
    const pick = (Kind, values) => Kind.from(chosen, (i) => values[i]);
    grids[name] = new NucleusGrid(pick(Float32Array, x), pick(Float32Array, y), pick(Uint32Array, number));
  }
  return grids;
}
