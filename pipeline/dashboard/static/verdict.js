// The verdict: colour, shape and word. Said aloud only when it changes, and not every part of a fast line.

import { byId, partName, score, setText, time } from "./words.js";

const SPOKEN_MS = 4000;

export class Verdict {
  #spoken = "";
  #spokenMs = -Infinity;

  show(result, stale) {
    const shown = result === null || result.expired || stale ? "none" : result.disposition;
    byId("verdict").dataset.verdict = shown;
    setText(byId("word"), { accept: "ACCEPT", reject: "REJECT", none: stale ? "NO VERDICT" : "WAITING" }[shown]);
    if (shown === "none") {
      const last = result === null ? "" : `last: ${partName(result)}, ${result.disposition}, ${time(result.published_ms)}`;
      setText(byId("reason"), stale ? "Treat every part as rejected" : "for the next part");
      setText(byId("part"), last);
    } else {
      setText(byId("reason"), this.#reason(result));
      setText(byId("part"), `${partName(result)} · ${result.latency_ms.toFixed(0)} ms${result.on_time ? "" : " · LATE"}`);
    }
    this.#speak(shown, result);
  }

  #reason(result) {
    const value = result.score === null ? "no score" : `score ${score(result.score, result.threshold)}`;
    const limit = result.score === null || result.threshold === null ? "" : ` of ${score(result.threshold, result.threshold)}`;
    return result.disposition === "accept" ? value + limit : `${result.reason} · ${value}${limit}`;
  }

  #speak(shown, result) {
    const words = shown === "none" ? "No current verdict" : shown === "accept" ? "Accept" : `Reject, ${result.reason}`;
    const now = performance.now();
    if (words === this.#spoken || now - this.#spokenMs < SPOKEN_MS) return;
    this.#spoken = words;
    this.#spokenMs = now;
    byId("spoken").textContent = words;
  }
}
