// The recipe menu, the banner of a changeover that failed and that of a drift hold. Each shows only where the
// station answers to it.

import { byId, node, operator, post, setText } from "./words.js";

const DRIFT_HOLD = 22; // reason code

export class Recipes {
  #abilities = { operations: [], recipes: [] };
  #chosen = null;
  #held = null;
  #hidden = null;

  constructor() {
    byId("recipe").onclick = () => this.#ask();
    byId("changeover-do").onclick = () => this.#change();
    byId("operator").oninput = () => this.#question();
    byId("release").onclick = () => this.#askRelease();
    byId("releasing-do").onclick = () => this.#release();
    byId("undone-close").onclick = () => { byId("undone").hidden = true; };
    byId("hold-close").onclick = () => { this.#hidden = this.#held; byId("hold").hidden = true; };
  }

  async refresh() {
    try {
      const response = await fetch("/api/abilities");
      if (response.ok) this.#abilities = await response.json();
    } catch {
      return; // the next state that comes asks again
    }
    const recipes = this.#abilities.recipes;
    byId("recipe").hidden = recipes.length === 0;
    const active = recipes.find((recipe) => recipe.active);
    setText(byId("recipe-name"), active ? `${active.title || active.id} v${active.version}` : "none");
    byId("release").hidden = !this.#abilities.operations.includes("release_hold");
  }

  event(event) {
    if (event.kind === "recipe") this.#changed(event);
    if (event.kind === "drift" && event.severity !== "info") this.#hold(event.camera, `drift: ${event.text}`, event.published_ms);
    if (event.kind === "drift" && event.severity === "info") byId("hold").hidden = true;
  }

  // The dialog is closed long before a changeover has ended: what went wrong is said until the next one begins.
  #changed(event) {
    byId("undone").hidden = event.severity !== "error";
    setText(byId("undone-text"), event.text);
    this.refresh();
  }

  // Every part of a camera under a hold is rejected with this reason.
  result(result) {
    if (result === null || result.expired) return;
    if (result.reason_code === DRIFT_HOLD) this.#hold(result.camera, result.text, `hold ${result.camera}`);
    else if (this.#held === `hold ${result.camera}`) {
      this.#held = null;
      byId("hold").hidden = true;
    }
  }

  #hold(camera, text, key) {
    if (this.#hidden === key) return;
    this.#held = key;
    this.camera = camera;
    setText(byId("hold-title"), camera ? `Camera ${camera}` : "Drift");
    setText(byId("hold-text"), text);
    byId("hold").hidden = false;
  }

  async #ask() {
    await this.refresh();
    this.#chosen = null;
    byId("operator").value = operator.get();
    byId("changeover-error").textContent = "";
    const choices = this.#abilities.recipes.map((recipe) => {
      const input = node("input", { type: "radio", name: "recipe", value: recipe.id });
      input.disabled = Boolean(recipe.active);
      input.onchange = () => { this.#chosen = recipe; this.#question(); };
      const note = `${recipe.id} · version ${recipe.version}${recipe.active ? " · active now" : ""}`;
      return node("label", { class: "choice" }, input, node("span", {}, recipe.title || recipe.id), node("small", {}, note));
    });
    byId("recipes").replaceChildren(byId("recipes").firstElementChild, ...choices);
    this.#question();
    byId("changeover").showModal();
  }

  #question() {
    const name = byId("operator").value.trim();
    const recipe = this.#chosen;
    byId("changeover-do").disabled = recipe === null || name === "";
    setText(byId("changeover-question"), recipe === null ? "" : `Change over to “${recipe.title || recipe.id}”?`);
  }

  async #change() {
    const name = byId("operator").value.trim();
    operator.set(name);
    byId("changeover-do").disabled = true;
    const done = await post("/api/changeover", { recipe: this.#chosen.id, operator: name });
    if (done.ok) byId("changeover").close();
    else byId("changeover-error").textContent = done.text;
    this.#question();
    this.refresh();
  }

  #askRelease() {
    byId("releaser").value = operator.get();
    byId("releasing-error").textContent = "";
    setText(byId("releasing-question"), `Judge the parts of camera ${this.camera} again?`);
    byId("releasing").showModal();
  }

  async #release() {
    const name = byId("releaser").value.trim();
    if (name === "") {
      byId("releaser").focus();
      return;
    }
    operator.set(name);
    const done = await post("/api/release_hold", { camera: this.camera, operator: name });
    if (done.ok) byId("releasing").close();
    else byId("releasing-error").textContent = done.text;
  }
}
