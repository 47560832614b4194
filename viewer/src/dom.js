// Small helpers to make elements.

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

export function icon(paths, { size = 16, className = "" } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("width", size);
  svg.setAttribute("height", size);
  svg.setAttribute("aria-hidden", "true");
  if (className) svg.setAttribute("class", className);
  for (const attributes of paths) {
    const path = document.createElementNS(SVG, attributes.tag ?? "path");
    for (const [name, value] of Object.entries(attributes)) if (name !== "tag") path.setAttribute(name, value);
    svg.append(path);
  }
  return svg;
}

export async function fetchOrThrow(url) {
  const response = await fetch(url, { credentials: "same-origin" });
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new Error(answer.message ?? "The server did not answer as expected; reload the page.");
}
