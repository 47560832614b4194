// Reports a change between light and dark: Streamlit itself does not rerun the script for it.

export class Theme {
  constructor(root) {
    this.host = root.host ?? root;
  }

  update({ data, setStateValue }) {
    const found = isDark(this.host) ? "dark" : "light";
    const known = this.reported ?? data.known;
    if (found === known) return;
    this.reported = found;
    setStateValue("theme", found);
  }

  destroy() {}
}

export function isDark(host) {
  const probe = document.createElement("span");
  probe.style.color = getComputedStyle(host).getPropertyValue("--st-background-color").trim() || "white";
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
  probe.remove();
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 128;
}
