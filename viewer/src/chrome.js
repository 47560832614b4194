// What lies on the picture: magnifications, zoom, scale bar, the research tag, messages.

import { element, icon } from "./dom.js";

const STROKE = { fill: "none", stroke: "currentColor", "stroke-width": 1.6, "stroke-linecap": "round", "stroke-linejoin": "round" };
const MINUS = [{ d: "M4 8h8", ...STROKE }];
const PLUS = [{ d: "M4 8h8M8 4v8", ...STROKE }];
const FIT = [{ d: "M9.5 3H13v3.5M13 3L9 7M6.5 13H3V9.5M3 13l4-4", ...STROKE }];
const EYE = [
  { d: "M1.2 8S3.6 3.4 8 3.4 14.8 8 14.8 8 12.4 12.6 8 12.6 1.2 8 1.2 8z", ...STROKE },
  { tag: "circle", cx: 8, cy: 8, r: 2, ...STROKE },
];
export const MAGNIFICATIONS = [5, 10, 20, 40];
const UM_PER_SCREEN_PX_AT_1X = 10;
const LONGEST_BAR_PX = 110;
const REACH_BELOW_PX = 400;
const REMARK_MS = 4000;

// 40× is 0.25 µm per screen pixel.
export function scaleOf(magnification, mpp) {
  return (mpp * magnification) / UM_PER_SCREEN_PX_AT_1X;
}

export class Chrome {
  // acts: {magnify(times), zoomBy(factor), fit(), bare(on)}
  constructor(acts) {
    this.steps = MAGNIFICATIONS.map((times) =>
      element("button", { type: "button", onclick: () => acts.magnify(times) }, `${times}×`),
    );
    this.magnifications = element("div", { class: "magnifications", role: "group", "aria-label": "Magnification" }, ...this.steps);
    this.eye = button("Hold for the bare picture (key B)", EYE, () => {});
    this.zoom = element(
      "div",
      { class: "zoom", role: "group", "aria-label": "Zoom" },
      button("Zoom out (key −)", MINUS, () => acts.zoomBy(1 / 1.5)),
      button("Zoom in (key +)", PLUS, () => acts.zoomBy(1.5)),
      button("Whole picture (key 0)", FIT, () => acts.fit()),
      this.eye,
    );
    this.holdable(acts.bare);
    this.bar = element("div", { class: "bar" });
    this.barText = element("div");
    this.scale = element("div", { class: "scale", hidden: true }, this.barText, this.bar);
    this.tag = element("div", { class: "tag" }, "Research use only");
    this.message = element("div", { class: "message", role: "status", "aria-live": "polite" });
    this.labels = element("div", { class: "labels" });
    this.parts = [this.labels, this.magnifications, this.zoom, this.scale, this.tag, this.message];
  }

  holdable(bare) {
    const hold = (on) => (event) => {
      if (event.type.startsWith("key") && event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      this.eye.setAttribute("aria-pressed", String(on));
      bare(on);
    };
    this.eye.setAttribute("aria-pressed", "false");
    this.eye.addEventListener("pointerdown", (event) => this.eye.setPointerCapture(event.pointerId));
    for (const name of ["pointerdown", "keydown"]) this.eye.addEventListener(name, hold(true));
    for (const name of ["pointerup", "pointercancel", "keyup", "blur"]) this.eye.addEventListener(name, hold(false));
  }

  // Scale bar and marked magnification for `scale` screen pixels per picture pixel of `mpp` µm (null: unknown).
  show(scale, mpp) {
    for (const [index, step] of this.steps.entries()) {
      step.disabled = mpp == null;
      step.title = mpp == null ? "The pixel size is unknown" : `Key ${index + 1}`;
      const exact = mpp == null ? NaN : scaleOf(MAGNIFICATIONS[index], mpp);
      step.setAttribute("aria-pressed", String(Math.abs(scale / exact - 1) < 0.02));
    }
    this.scale.hidden = mpp == null;
    if (mpp == null) return;
    const length = roundLength((LONGEST_BAR_PX * mpp) / scale);
    this.barText.textContent = length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
    this.bar.style.width = `${(length * scale) / mpp}px`;
  }

  // Labels centred below their points, kept inside the picture's frame while their shapes reach into it.
  place(labels, view) {
    while (this.labels.childElementCount < labels.length) this.labels.append(element("div", { class: "label" }));
    for (const [index, label] of [...this.labels.children].entries()) {
      const wanted = labels[index];
      const across = wanted && view.left + wanted.x * view.scale;
      const down = wanted && view.top + wanted.y * view.scale;
      label.hidden = !wanted || across < 0 || across > view.width || down < 0 || down > view.height + REACH_BELOW_PX;
      if (label.hidden) continue;
      if (label.textContent !== wanted.text) label.textContent = wanted.text;
      label.style.transform = `translate(${across}px, ${Math.min(down + 3, view.height - 24)}px) translateX(-50%)`;
    }
  }

  // A passing remark; what `keep` said comes back after it.
  say(text) {
    clearTimeout(this.timer);
    this.message.textContent = text;
    this.timer = setTimeout(() => (this.message.textContent = this.kept ?? ""), REMARK_MS);
  }

  // What stays until something else is said; null for nothing.
  keep(text) {
    clearTimeout(this.timer);
    this.kept = text;
    this.message.textContent = text ?? "";
  }
}

function button(label, paths, onclick) {
  return element("button", { type: "button", "aria-label": label, title: label, onclick }, icon(paths));
}

// The longest of 1, 2.5, 5 × 10ⁿ that is at most `um`.
function roundLength(um) {
  const power = 10 ** Math.floor(Math.log10(um));
  const step = [5, 2.5, 1].find((candidate) => candidate * power <= um) ?? 1;
  return Number((step * power).toPrecision(3));
}
