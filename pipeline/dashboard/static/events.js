// What has happened at the station, newest first.

import { byId, node, time } from "./words.js";

const KEPT = 50;

export class Events {
  fill(events) {
    byId("events").replaceChildren();
    for (const event of events) this.add(event);
  }

  add(event) {
    const item = node(
      "li", { "data-severity": event.severity },
      node("time", {}, time(event.published_ms)),
      node("b", {}, event.severity === "info" ? event.kind : `${event.severity}: ${event.kind}`),
      node("p", {}, event.text),
    );
    const list = byId("events");
    list.prepend(item);
    while (list.childElementCount > KEPT) list.lastElementChild.remove();
  }
}
