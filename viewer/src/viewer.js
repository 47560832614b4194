// The bundle's entry: one function per Streamlit component. Streamlit calls it at the first run and again
// whenever data or theme change; the same parentElement always means the same instance, never a rebuild.

import { PictureView } from "./picture.js";
import { Theme } from "./theme.js";
import { Upload } from "./upload.js";

const instances = new WeakMap();

function mounted(Kind) {
  return (component) => {
    const root = component.parentElement;
    let entry = instances.get(root);
    if (!entry) {
      entry = { instance: new Kind(root), calls: 0 };
      instances.set(root, entry);
    }
    const call = ++entry.calls;
    entry.instance.update(component);
    // A call that was overtaken while it loaded is cleaned up at once: only the newest one may end the instance.
    return () => {
      if (entry.calls !== call) return;
      entry.instance.destroy();
      instances.delete(root);
    };
  };
}

export const picture = mounted(PictureView);
export const upload = mounted(Upload);
export const theme = mounted(Theme);
