// The review: one archived reject after another, and what a person says of each.

import { Picture } from "./picture.js";
import { loadStill } from "./rejects.js";
import { byId, dayTime, facts, node, operator, partName, post, score, setText } from "./words.js";

const SIGNS = { really_bad: "✕", false_reject: "✓" };
const WORDS = { really_bad: "really bad", false_reject: "false reject", none: "no mark" };
const KEYS = { b: "really_bad", f: "false_reject", u: "none" };

const picture = new Picture(byId("still"));
const entries = [];
let following = null;
let at = 0;
let asked = 0;

async function load(before) {
  const response = await fetch("/api/review" + (before ? `?before=${encodeURIComponent(before)}` : ""));
  const page = await response.json();
  if (!response.ok) return problem(page.text);
  following = page.following;
  for (const entry of page.entries) {
    entry.item = item(entry, entries.length);
    entries.push(entry);
    byId("entries").append(entry.item);
  }
  byId("more").hidden = following === null;
  progress();
  if (entries.length === 0) {
    const none = page.archive ? "No reject is archived yet." : "This station keeps no archive: set archive.directory in its config.yaml.";
    setText(byId("still-none"), none);
    setText(byId("part-title"), "Nothing to review");
  }
}

function item(entry, index) {
  const { result } = entry;
  const image = node("img", { alt: "", src: `/stills/${encodeURIComponent(result.result_id)}/small`, loading: "lazy" });
  const text = node("span", {}, partName(result), node("small", {}, `${result.reason} · ${dayTime(result.published_ms)}`));
  const sign = node("i", {}, SIGNS[entry.mark] ?? "");
  const button = node("button", { type: "button", "data-mark": entry.mark ?? "none", "data-result-id": result.result_id }, image, text, sign);
  button.onclick = () => show(index);
  return node("li", {}, button);
}

function progress() {
  const marked = entries.filter((entry) => entry.mark).length;
  setText(byId("progress"), entries.length ? `${marked} of ${entries.length}${following ? "+" : ""} marked` : "");
}

async function show(index) {
  if (index >= entries.length && following !== null) await load(following);
  if (index < 0 || index >= entries.length) return;
  entries[at]?.item.firstElementChild.removeAttribute("aria-current");
  at = index;
  const entry = entries[at];
  const { result } = entry;
  entry.item.firstElementChild.setAttribute("aria-current", "true");
  entry.item.scrollIntoView({ block: "nearest" });
  setText(byId("part-title"), `${at + 1} of ${entries.length}: ${partName(result)}, ${result.reason}`);
  byId("main").dataset.resultId = result.result_id;
  facts(byId("facts"), [
    ["Camera", result.camera], ["When", dayTime(result.published_ms)], ["Score", score(result.score, result.threshold)],
    ["Threshold", score(result.threshold, result.threshold)], ["Regions", result.regions.length], ["Why", result.text],
    ["Marked by", entry.who],
  ]);
  byId("newer").disabled = at === 0;
  byId("older").disabled = at === entries.length - 1 && following === null;
  pressed(entry);
  const mine = ++asked;
  const frame = await loadStill(entry).catch(() => null);
  if (mine !== asked) return;
  byId("still-none").hidden = frame !== null;
  byId("still").hidden = frame === null;
  setText(byId("still-none"), "This frame is not in the archive any more.");
  byId("still").setAttribute("aria-label", `${partName(result)}, rejected: ${result.reason}`);
  if (frame !== null) picture.show(frame);
}

function pressed(entry) {
  for (const button of document.querySelectorAll("button.mark")) {
    button.setAttribute("aria-pressed", String(button.dataset.mark === (entry.mark ?? "none")));
  }
}

function problem(text) {
  byId("problem").hidden = text === null;
  setText(byId("problem-text"), text ?? "");
}

async function say(mark) {
  const entry = entries[at];
  if (!entry) return;
  const who = byId("who").value.trim();
  if (who === "") {
    byId("who").focus();
    setText(byId("said"), "Say who you are first.");
    return;
  }
  operator.set(who);
  const done = await post("/api/marks", { result_id: entry.result.result_id, mark, who });
  problem(done.ok ? null : done.text);
  if (!done.ok) return;
  entry.mark = mark === "none" ? null : mark;
  entry.who = mark === "none" ? null : who;
  const button = entry.item.firstElementChild;
  button.dataset.mark = mark;
  button.querySelector("i").textContent = SIGNS[mark] ?? "";
  setText(byId("said"), `${partName(entry.result)}: ${WORDS[mark]}.`);
  progress();
  if (mark !== "none" && entries[at] === entry && (at < entries.length - 1 || following !== null)) await show(at + 1);
  else pressed(entry);
}

function key(event) {
  if (event.target.matches("input:not([type=range])") || event.ctrlKey || event.metaKey || event.altKey) return;
  const mark = KEYS[event.key.toLowerCase()];
  if (mark) say(mark);
  else if (event.target.type === "range") return;
  else if (event.key === "ArrowRight" || event.key === "ArrowDown") show(at + 1);
  else if (event.key === "ArrowLeft" || event.key === "ArrowUp") show(at - 1);
  else if (event.key.toLowerCase() === "h") setOpacity(byId("opacity").value === "0" ? 60 : 0);
  else return;
  event.preventDefault();
}

function setOpacity(value) {
  byId("opacity").value = value;
  picture.opacity = value / 100;
}

for (const button of document.querySelectorAll("button.mark")) button.onclick = () => say(button.dataset.mark);
byId("newer").onclick = () => show(at - 1);
byId("older").onclick = () => show(at + 1);
byId("more").onclick = () => load(following);
byId("opacity").oninput = (event) => setOpacity(event.target.value);
byId("who").value = operator.get();
byId("who").onchange = () => operator.set(byId("who").value.trim());
addEventListener("keydown", key);
setOpacity(60);
await load(null);
await show(0);
