// Wiring: messages in, the page out. Nothing here is kept that the next state would not replace.

import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { Events } from "./events.js";
import { showCounts, showLatency, showMachine, showReasons, showState } from "./figures.js";
import { Picture, decodePicture } from "./picture.js";
import { Recipes } from "./recipes.js";
import { Rejects } from "./rejects.js";
import { Verdict } from "./verdict.js";
import { byId, node, partName, setText, time } from "./words.js";

const KEPT_POINTS = 600;
const points = new Map();
let state = null;
let camera = null;
let silent = true;
let dropped = 0;
let epoch = null;
let images = true;

const chart = new Chart(byId("chart"));
const picture = new Picture(byId("picture"));
const verdict = new Verdict();
const rejects = new Rejects();
const events = new Events();
const recipes = new Recipes();

const stale = () => silent || state === null || !state.fresh;

function hello(message) {
  document.title = `${message.line}/${message.station}: line monitor`;
  setText(byId("line"), message.line);
  setText(byId("station"), message.station);
  images = message.images;
  state = null;
  offerCameras(message.cameras);
  rejects.fill(message.rejects);
  events.fill(message.events);
  recipes.refresh();
  if (!images) setText(byId("picture-none"), "This station publishes no pictures: image.policy is none in its config.yaml");
}

function takePoints(message) {
  const kept = message.whole ? [] : points.get(message.camera) ?? [];
  kept.push(...message.points);
  points.set(message.camera, kept.slice(-KEPT_POINTS));
}

function look(name) {
  camera = name;
  byId("camera").value = name;
  connection.look(name);
  rejects.look(name);
  render();
}

function offerCameras(names) {
  const menu = byId("camera");
  if (menu.dataset.names === names.join()) return;
  menu.dataset.names = names.join();
  menu.replaceChildren(...names.map((name) => node("option", { value: name }, name)));
  byId("camera-field").hidden = names.length < 2;
  look(names.includes(camera) ? camera : names[0]);
}

function showStale() {
  const now = stale();
  document.body.classList.toggle("stale", now);
  byId("stale").hidden = !now;
  if (!now) return;
  const never = state === null || state.age_ms === null;
  const refused = silent ? null : state?.refused;
  setText(byId("stale-title"), silent ? "NO CONNECTION" : refused ? "NOT LET IN" : never ? "NO STATION" : "STATION SILENT");
  setText(byId("stale-text"), silent
    ? "This page hears nothing. What it shows is old: treat every part as rejected."
    : refused ? `${refused} Treat every part as rejected.` : never
      ? "No station has been heard yet."
      : `Nothing heard for ${(state.age_ms / 1000).toFixed(0)} s. What is shown is old: treat every part as rejected.`);
}

function render() {
  showStale();
  if (state === null) {
    verdict.show(null, true);
    return;
  }
  const shown = state.cameras.find((one) => one.name === camera);
  verdict.show(shown.result, stale());
  showState(state, stale());
  showCounts(shown);
  showReasons(state.reasons);
  showLatency(state.stages, state.deadline_ms);
  showMachine(state, shown, dropped);
  recipes.result(shown.result);
  chart.show(points.get(camera) ?? [], stale());
  setText(byId("chart-note"), shown.result?.threshold ? `fixed scale, threshold ${shown.result.threshold.toPrecision(4)}` : "fixed scale");
  if (state.epoch !== epoch) {
    epoch = state.epoch;
    recipes.refresh();
  }
}

const takers = {
  hello,
  points: takePoints,
  reject: (message) => rejects.add(message.reject),
  event: (message) => { events.add(message.event); recipes.event(message.event); },
  dropped: (message) => { dropped = message.count; },
  state: (message) => { state = message; render(); },
};

async function takePicture(data) {
  const { head, image, overlay } = await decodePicture(data);
  const result = head.result;
  if (result.camera !== camera) return;
  picture.show({ image, overlay, result, framePx: head.image_px });
  byId("picture-none").hidden = true;
  byId("simulated").hidden = !result.simulated;
  byId("picture").dataset.resultId = result.result_id;
  if (!performance.getEntriesByName("first-frame").length) performance.mark("first-frame");
  // Pictures are fewer than verdicts: which part this is must not be taken for the one that the verdict is of.
  const mark = result.disposition === "accept" ? "✓" : "✕";
  setText(byId("picture-of"), `${mark} ${partName(result)} · ${result.disposition} · ${time(result.published_ms)}`);
  byId("picture-card").dataset.verdict = result.disposition;
  byId("picture").setAttribute("aria-label", `Camera ${result.camera}: ${partName(result)}, ${result.disposition}, ${result.regions.length} regions`);
}

const connection = new Connection({
  onMessage: (message) => takers[message.type]?.(message),
  onPicture: takePicture,
  onSilent: (value) => { silent = value; render(); },
});

function setOpacity(value) {
  picture.opacity = value / 100;
  setText(byId("opacity-text"), `${value} %`);
  localStorage.setItem("opacity", value);
}

byId("opacity").value = localStorage.getItem("opacity") ?? "60";
byId("opacity").oninput = (event) => setOpacity(event.target.value);
setOpacity(byId("opacity").value);
byId("camera").onchange = (event) => look(event.target.value);
setInterval(() => setText(byId("clock"), time(Date.now())), 1000);
setText(byId("clock"), time(Date.now()));
