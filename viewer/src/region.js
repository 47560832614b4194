// Drawing a rectangle as the run's region: with the pointer, or from the present view by keyboard.

import { element } from "./dom.js";

export class RegionTool {
  // picture: {toImage(point), visible(), size, redraw(), announce(text)}; onchange(rectangle or null).
  constructor(picture, onchange) {
    this.picture = picture;
    this.onchange = onchange;
    this.rectangle = null;
    this.drawButton = element(
      "button",
      { type: "button", "aria-pressed": "false", onclick: () => this.arm(!this.armed) },
      "Draw region",
    );
    this.viewButton = element("button", { type: "button", onclick: () => this.takeView() }, "Region = this view");
    this.clearButton = element("button", { type: "button", onclick: () => this.finish(null) }, "Clear region");
    this.bar = element(
      "div",
      { class: "region", role: "group", "aria-label": "Region", hidden: true },
      this.drawButton,
      this.viewButton,
      this.clearButton,
    );
    this.sheet = element("div", { class: "sheet", hidden: true });
    this.sheet.addEventListener("pointerdown", (event) => this.begin(event));
    this.sheet.addEventListener("pointermove", (event) => this.move(event));
    this.sheet.addEventListener("pointerup", (event) => this.end(event));
    this.sheet.addEventListener("pointercancel", () => this.drop());
    this.show();
  }

  offer(offered) {
    this.bar.hidden = !offered;
    if (!offered) this.arm(false);
  }

  arm(armed) {
    this.armed = armed;
    this.sheet.hidden = !armed;
    this.drawButton.setAttribute("aria-pressed", String(armed));
    if (armed) this.picture.announce("Drag over the picture to draw the region. Escape stops.");
  }

  begin(event) {
    this.sheet.setPointerCapture(event.pointerId);
    this.from = this.picture.toImage(event);
    this.before = this.rectangle;
    event.preventDefault();
  }

  move(event) {
    if (!this.from) return;
    this.rectangle = between(this.from, this.picture.toImage(event), this.picture.size);
    this.picture.redraw();
  }

  end(event) {
    if (!this.from) return;
    const drawn = between(this.from, this.picture.toImage(event), this.picture.size);
    this.from = null;
    if (!drawn || drawn.width < 8 || drawn.height < 8) {
      this.rectangle = this.before;
      this.picture.redraw();
      return;
    }
    this.arm(false);
    this.finish(drawn);
  }

  drop() {
    if (this.from) this.rectangle = this.before;
    this.from = null;
    this.arm(false);
    this.picture.redraw();
  }

  takeView() {
    const { left, top, right, bottom } = this.picture.visible();
    this.finish(between([left, top], [right, bottom], this.picture.size));
  }

  finish(rectangle) {
    this.rectangle = rectangle;
    this.show();
    this.picture.redraw();
    const { width, height } = rectangle ?? {};
    this.picture.announce(rectangle ? `Region of ${width} × ${height} px.` : "No region: the whole picture.");
    this.onchange(rectangle);
  }

  show() {
    this.clearButton.hidden = !this.rectangle;
  }
}

// Two corners in pixel-corner coordinates → whole pixels inside the picture, or null.
function between([ax, ay], [bx, by], { width, height }) {
  const clip = (value, limit) => Math.min(limit, Math.max(0, Math.round(value)));
  const left = clip(Math.min(ax, bx), width);
  const top = clip(Math.min(ay, by), height);
  const right = clip(Math.max(ax, bx), width);
  const bottom = clip(Math.max(ay, by), height);
  if (right <= left || bottom <= top) return null;
  return { x: left, y: top, width: right - left, height: bottom - top };
}
