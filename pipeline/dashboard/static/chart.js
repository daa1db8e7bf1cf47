// The strip chart: one dot a part, newest at the right, on a scale that never changes with the data.

const FULL = 2; // of the threshold
const GAP_PX = 4;

export class Chart {
  #canvas;
  #points = [];
  #stale = false;
  #due = false;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.draw());
  }

  show(points, stale) {
    this.#points = points;
    this.#stale = stale;
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.draw();
    });
  }

  draw() {
    const canvas = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    if (width === 0) return;
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const colour = (name) => style.getPropertyValue(name);
    const em = parseFloat(style.fontSize) * ratio;
    context.clearRect(0, 0, width, height);
    context.font = `${0.8 * em}px ${style.fontFamily}`;
    const margin = 4.2 * em;
    const place = (value) => height - 2 - (Math.min(FULL, Math.max(0, value)) / FULL) * (height - 0.9 * em);
    this.#drawScale(context, { width, margin, place, em, colour });
    this.#drawPoints(context, { width, margin, place, em, ratio, colour });
  }

  #drawScale(context, { width, margin, place, em, colour }) {
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const [value, label] of [[0, "0"], [1, "threshold"], [2, "2×"]]) {
      const y = Math.round(place(value)) + 0.5;
      context.fillStyle = colour(value === 1 ? "--text" : "--faint");
      context.fillText(label, width - 2, value === 0 ? y - 0.4 * em : y);
      context.strokeStyle = colour(value === 1 ? "--text" : "--rule");
      context.lineWidth = value === 1 ? 1.5 : 1;
      context.setLineDash(value === 1 ? [6, 4] : []);
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(width - margin, y);
      context.stroke();
    }
    context.setLineDash([]);
  }

  // Points are [published_ms, score, threshold, reason_code].
  #drawPoints(context, { width, margin, place, em, ratio, colour }) {
    const size = Math.max(2.2 * ratio, 0.17 * em);
    const step = Math.max(GAP_PX * ratio, 2.2 * size);
    const accept = this.#stale ? colour("--faint") : colour("--accept");
    const reject = this.#stale ? colour("--faint") : colour("--reject");
    let x = width - margin - size;
    for (let index = this.#points.length - 1; index >= 0 && x > size; index--, x -= step) {
      const [, score, threshold, reason] = this.#points[index];
      if (score === null || !(threshold > 0)) {
        context.fillStyle = reject;
        context.fillRect(x - size / 2, place(0) - 2.2 * size, size, 2.2 * size); // no score at all
      } else if (reason === 0) {
        context.fillStyle = accept;
        context.beginPath();
        context.arc(x, place(score / threshold), size, 0, 7);
        context.fill();
      } else {
        const [y, arm] = [place(score / threshold), 1.5 * size];
        context.strokeStyle = reject;
        context.lineWidth = size;
        context.beginPath();
        context.moveTo(x - arm, y - arm);
        context.lineTo(x + arm, y + arm);
        context.moveTo(x + arm, y - arm);
        context.lineTo(x - arm, y + arm);
        context.stroke();
      }
    }
  }
}
