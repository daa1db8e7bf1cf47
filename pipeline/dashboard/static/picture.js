// A frame with its heatmap and its regions on a canvas, at the resolution of the screen.

const ACCEPT = "#62a8ff";
const REJECT = "#ffa033";

export async function decodePicture(data) {
  const view = new DataView(data);
  const headEnd = 4 + view.getUint32(0);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, headEnd - 4)));
  const jpegEnd = headEnd + head.jpeg_bytes;
  const image = await createImageBitmap(new Blob([new Uint8Array(data, headEnd, head.jpeg_bytes)], { type: "image/jpeg" }));
  const overlay = head.overlay_bytes
    ? await createImageBitmap(new Blob([new Uint8Array(data, jpegEnd, head.overlay_bytes)], { type: "image/png" }))
    : null;
  return { head, image, overlay };
}

export class Picture {
  #canvas;
  #shown = null;
  #opacity = 0.6;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  get resultId() {
    return this.#shown?.result.result_id ?? null;
  }

  // frame: { image, overlay, result, framePx: [width, height] of the raw frame }
  show(frame) {
    const before = this.#shown;
    this.#shown = frame;
    before?.image.close?.();
    before?.overlay?.close?.();
    this.draw();
  }

  set opacity(value) {
    this.#opacity = value;
    this.draw();
  }

  draw() {
    const canvas = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio);
    const height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    if (this.#shown === null || width === 0) return;
    const { image, overlay, result, framePx } = this.#shown;
    const scale = Math.min(width / framePx[0], height / framePx[1]);
    const [w, h] = [framePx[0] * scale, framePx[1] * scale];
    const [x, y] = [(width - w) / 2, (height - h) / 2];
    context.imageSmoothingQuality = "high";
    context.drawImage(image, x, y, w, h);
    if (overlay !== null && this.#opacity > 0) {
      context.globalAlpha = this.#opacity;
      context.drawImage(overlay, x, y, w, h);
      context.globalAlpha = 1;
    }
    this.#drawRegions(context, result, x, y, scale, ratio);
  }

  #drawRegions(context, result, x, y, scale, ratio) {
    const colour = result.disposition === "reject" ? REJECT : ACCEPT;
    for (const region of result.regions) {
      const [left, top, width, height] = region.bbox_px;
      const box = [x + left * scale, y + top * scale, width * scale, height * scale];
      context.lineWidth = 5 * ratio;
      context.strokeStyle = "rgb(0 0 0 / .7)";
      context.strokeRect(...box);
      context.lineWidth = 2.5 * ratio;
      context.strokeStyle = colour;
      context.strokeRect(...box);
    }
  }
}
