// Numbers, times and nodes as text; nothing of the station is ever put in as HTML.

export const byId = (id) => document.getElementById(id);

export function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
export const count = (value) => whole.format(value);

export function score(value, threshold) {
  if (value === null || value === undefined) return "–";
  const decimals = threshold > 0 ? Math.max(0, Math.min(9, 3 - Math.floor(Math.log10(threshold)))) : 3;
  return value.toFixed(decimals);
}

export const ms = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0)) + " ms";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const dayClock = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false,
});
export const time = (utcMs) => clock.format(utcMs);
export const dayTime = (utcMs) => dayClock.format(utcMs);

export function share(part, all) {
  return all > 0 ? ((100 * part) / all).toFixed(part > 0 && part / all < 0.1 ? 2 : 1) + " %" : "–";
}

// What a person calls the part: its id if it has one.
export const partName = (result) => (result.part_id ? `part ${result.part_id}` : `trigger ${result.trigger_id}`);

export function facts(list, pairs) {
  list.replaceChildren(
    ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) =>
      node("div", {}, node("dt", {}, name), node("dd", {}, String(value)))),
  );
}

// The operator's name stays in this browser.
export const operator = {
  get: () => localStorage.getItem("operator") ?? "",
  set: (name) => localStorage.setItem("operator", name),
};

export async function post(path, body) {
  try {
    const response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const answer = await response.json().catch(() => ({}));
    return response.ok ? { ok: true, answer } : { ok: false, text: answer.text ?? `refused (${response.status})` };
  } catch {
    return { ok: false, text: "The page has lost its connection." };
  }
}
