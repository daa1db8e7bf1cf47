// Counts, reasons, latencies and the state of the machine.

import { byId, count, ms, node, setText, share } from "./words.js";

const STAGES = ["exposure", "transfer", "queue", "inference", "decision", "publication", "trigger to published"];
const TOTAL = "trigger to published";

export function showCounts(camera) {
  setText(byId("accepts"), count(camera.accepts));
  setText(byId("rejects"), count(camera.rejects));
  setText(byId("share"), share(camera.rejects, camera.accepts + camera.rejects));
  setText(byId("rate"), count(camera.per_hour));
  byId("rate").title = `${count(camera.rejects_per_hour)} rejects an hour, over the last five minutes`;
}

function rebuild(list, key, rows) {
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...rows());
}

function bar(label, value, parts, kind = "") {
  const track = node("span", { class: "track" });
  for (const part of parts) {
    const piece = node("i");
    piece.style.width = `${Math.min(100, 100 * part)}%`;
    track.append(piece);
  }
  return node("li", { class: kind }, node("span", {}, label), node("span", { class: "value" }, value), track);
}

export function showReasons(reasons) {
  const sorted = Object.entries(reasons).sort((a, b) => b[1] - a[1]).slice(0, 6);
  const most = sorted.length ? sorted[0][1] : 1;
  byId("reasons-none").hidden = sorted.length > 0;
  rebuild(byId("reasons"), JSON.stringify(sorted), () =>
    sorted.map(([reason, number]) => bar(reason, count(number), [number / most])));
}

export function showLatency(stages, deadlineMs) {
  const known = new Map(stages.map((stage) => [stage.stage, stage]));
  const shown = STAGES.filter((name) => known.has(name)).map((name) => known.get(name));
  byId("latency-none").hidden = shown.length > 0;
  rebuild(byId("latency"), JSON.stringify([shown, deadlineMs]), () =>
    shown.map((stage) => {
      const total = stage.stage === TOTAL;
      const text = total ? `${ms(stage.p50_ms)} · ${ms(stage.p99_ms)} of ${ms(deadlineMs)}` : `${ms(stage.p50_ms)} · ${ms(stage.p99_ms)}`;
      const kind = `${total ? "total" : ""} ${stage.p99_ms > deadlineMs ? "over" : ""}`.trim();
      return bar(stage.stage, text, [stage.p99_ms / deadlineMs, stage.p50_ms / deadlineMs], kind);
    }));
}

export function showMachine(state, camera, dropped) {
  const good = (text, expected) => (text === expected ? null : "bad");
  const rows = [
    ["Camera", camera.state, good(camera.state, "ready")],
    ["Engine", state.engine ?? "not heard", good(state.engine, "ready")],
    ["Recipe", state.recipe ? `${state.recipe.id} v${state.recipe.version}` : "–", null],
    ["Waiting for the engine", count(state.queue_depth), state.queue_depth > 2 ? "warn" : null],
    ["Late", count(state.late), state.late > 0 ? "warn" : null],
    ["Frames lost", count(camera.frames_lost), camera.frames_lost > 0 ? "bad" : null],
    ["Messages lost by this page", count(state.lost + dropped), null],
  ];
  if (state.fault) rows.unshift(["Fault", state.fault, "bad"]);
  rebuild(byId("machine"), JSON.stringify(rows), () =>
    rows.flatMap(([name, value, tone]) => [node("dt", {}, name), node("dd", { "data-tone": tone }, value)]));
}

export function showState(state, stale) {
  const [text, tone] = stale
    ? ["no data", "bad"]
    : state.fault ? ["fault", "bad"] : state.ready ? ["ready", "good"] : [`not ready: ${state.state}`, "warn"];
  setText(byId("state"), text);
  byId("state").dataset.tone = tone;
}
