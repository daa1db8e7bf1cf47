// The last rejects: thumbnails, and a dialog that shows one whole and pages by the arrow keys.

import { Picture } from "./picture.js";
import { byId, dayTime, facts, node, ms, partName, score, time } from "./words.js";

const KEPT = 50;
const still = (id, what) => `/stills/${encodeURIComponent(id)}/${what}`;

export async function loadStill({ result, mapped }) {
  const fetched = async (what) => {
    const response = await fetch(still(result.result_id, what));
    return response.ok ? createImageBitmap(await response.blob()) : null;
  };
  const image = await fetched("full");
  if (image === null) return null;
  const overlay = mapped ? await fetched("overlay").catch(() => null) : null;
  return { image, overlay, result, framePx: result.frame_px ?? [image.width, image.height] };
}

export class Viewer {
  #picture = new Picture(byId("still"));
  #all = [];
  #at = 0;
  #asked = 0;

  constructor() {
    byId("older").onclick = () => this.#step(1);
    byId("newer").onclick = () => this.#step(-1);
    byId("viewer-opacity").oninput = (event) => { this.#picture.opacity = event.target.value / 100; };
    byId("viewer").addEventListener("keydown", (event) => {
      if (event.target.type === "range") return;
      if (event.key === "ArrowLeft") this.#step(1);
      if (event.key === "ArrowRight") this.#step(-1);
    });
  }

  // all: [{ result, pictured, mapped }], newest first; they stay as they are while the dialog is open
  open(all, index) {
    this.#all = all;
    this.#at = index;
    byId("viewer").showModal();
    byId("older").focus();
    this.#show();
  }

  #step(by) {
    const next = this.#at + by;
    if (next < 0 || next >= this.#all.length) return;
    this.#at = next;
    this.#show();
  }

  async #show() {
    const reject = this.#all[this.#at];
    const { result } = reject;
    const asked = ++this.#asked;
    byId("viewer").dataset.resultId = result.result_id;
    byId("viewer-title").textContent = `${this.#at + 1} of ${this.#all.length}: ${partName(result)}, ${result.reason}`;
    byId("older").disabled = this.#at >= this.#all.length - 1;
    byId("newer").disabled = this.#at === 0;
    facts(byId("viewer-facts"), [
      ["Camera", result.camera], ["When", dayTime(result.published_ms)],
      ["Score", score(result.score, result.threshold)], ["Threshold", score(result.threshold, result.threshold)],
      ["Latency", ms(result.latency_ms)], ["Regions", result.regions.length], ["Why", result.text],
    ]);
    const frame = await loadStill(reject).catch(() => null);
    if (asked !== this.#asked) return;
    byId("still").hidden = frame === null;
    byId("still-none").hidden = frame !== null;
    byId("still-none").textContent = "No picture of this part was taken: nothing came from the camera, or pictures were few.";
    byId("still").setAttribute("aria-label", `${partName(result)}, rejected: ${result.reason}`);
    if (frame !== null) this.#picture.show(frame);
  }
}

export class Rejects {
  #kept = new Map();
  #viewer = new Viewer();
  #camera = null;

  // Also when a connection came back: whoever was at a thumbnail stays at it.
  fill(rejects) {
    const focused = document.activeElement?.dataset.resultId;
    this.#kept.clear();
    byId("thumbs").replaceChildren();
    for (const reject of rejects) this.add(reject);
    this.#count();
    this.#kept.get(focused)?.item.querySelector("button").focus();
  }

  add({ result, pictured, mapped }) {
    const known = this.#kept.get(result.result_id);
    if (known) {
      if (pictured && !known.pictured) this.#picture(known, mapped);
      return;
    }
    const entry = { result, pictured: false, mapped: false, item: this.#item(result) };
    this.#kept.set(result.result_id, entry);
    byId("thumbs").prepend(entry.item);
    if (pictured) this.#picture(entry, mapped);
    while (this.#kept.size > KEPT) {
      const [oldest, gone] = this.#kept.entries().next().value;
      gone.item.remove();
      this.#kept.delete(oldest);
    }
    this.#count();
  }

  look(camera) {
    this.#camera = camera;
    for (const { result, item } of this.#kept.values()) item.hidden = result.camera !== camera;
    this.#count();
  }

  #shown() {
    return [...this.#kept.values()].filter(({ result }) => result.camera === this.#camera).reverse();
  }

  #count() {
    const number = this.#shown().length;
    byId("thumbs-none").hidden = number > 0;
    byId("last-note").textContent = number ? `${number}, newest first` : "";
  }

  #item(result) {
    const shot = node("span", { class: "shot" }, "no picture");
    const label = `${partName(result)}, ${result.reason}, ${time(result.published_ms)}`;
    const what = node("span", { class: "what" }, node("b", {}, `✕ ${result.reason}`), node("span", {}, time(result.published_ms)));
    const button = node("button", { type: "button", class: "thumb", "aria-label": label, "data-result-id": result.result_id }, shot, what);
    button.onclick = () => {
      const all = this.#shown();
      this.#viewer.open(all, all.findIndex((other) => other.result.result_id === result.result_id));
    };
    const item = node("li", {}, button);
    item.hidden = result.camera !== this.#camera;
    return item;
  }

  #picture(entry, mapped) {
    entry.pictured = true;
    entry.mapped = mapped;
    const id = entry.result.result_id;
    const layers = mapped ? ["small", "overlay"] : ["small"];
    const shown = layers.map((layer) => node("img", { alt: "", src: still(id, layer), loading: "lazy", decoding: "async" }));
    entry.item.querySelector(".shot").replaceChildren(...shown);
  }
}
