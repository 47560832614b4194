// Streams a file of any size to the store, with progress and cancel.

import { element } from "./dom.js";

export class Upload {
  constructor(root) {
    this.input = element("input", { type: "file", class: "file", id: "file", onchange: () => this.start() });
    this.name = element("label", { for: "file", class: "name" });
    this.bar = element("progress", { max: 1, value: 0, "aria-label": "Upload progress" });
    this.cancel = element("button", { type: "button", onclick: () => this.request?.abort() }, "Cancel");
    this.status = element("p", { role: "status", class: "status" });
    this.running = element("div", { class: "running", hidden: true }, this.bar, this.cancel);
    this.box = element("div", { class: "upload" }, this.name, this.input, this.running, this.status);
    root.append(this.box);
  }

  update({ data, setStateValue }) {
    this.name.textContent = data.label;
    this.codes = data.codes;
    this.setStateValue = setStateValue;
  }

  start() {
    const file = this.input.files[0];
    if (!file) return;
    const request = (this.request = new XMLHttpRequest());
    request.open("POST", new URL("/ki67/uploads", window.location.origin));
    request.setRequestHeader("X-Ki67-Name", encodeURIComponent(file.name));
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => this.show(file, loaded, total);
    request.onload = () => this.finish(request);
    request.onerror = () => this.end("The connection broke off; nothing was stored. Choose the file again.", true);
    request.onabort = () => this.end("Cancelled; nothing was stored.", false);
    this.box.classList.remove("failed");
    this.input.disabled = true;
    this.running.hidden = false;
    this.show(file, 0, file.size);
    request.send(file);
  }

  show(file, loaded, total) {
    this.bar.value = total ? loaded / total : 0;
    this.status.textContent =
      loaded < total ? `${megabytes(loaded)} of ${megabytes(total)}` : "Uploaded. The picture is being read.";
  }

  finish(request) {
    if (request.status !== 201) {
      this.end(request.response?.message ?? "The upload failed; choose the file again.", true);
      return;
    }
    this.end("Stored.", false);
    const code = request.response.code;
    if (!this.codes.includes(code)) this.setStateValue("codes", (this.codes = [...this.codes, code]));
  }

  end(sentence, failed) {
    this.box.classList.toggle("failed", failed);
    this.status.textContent = sentence;
    this.running.hidden = true;
    this.input.disabled = false;
    this.input.value = "";
    this.request = null;
  }

  destroy() {
    this.request?.abort();
    this.box.remove();
  }
}

function megabytes(bytes) {
  return `${Math.round(bytes / 1e6).toLocaleString("en")} MB`;
}
