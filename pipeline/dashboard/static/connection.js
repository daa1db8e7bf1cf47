// The WebSocket: comes back by itself, and says when nothing has come for too long.

const SILENT_MS = 700; // states come every 100 ms
const CHECK_MS = 100;
const AGAIN_MS = [250, 500, 1000, 2000];

export class Connection {
  #socket = null;
  #heardMs = -Infinity;
  #attempt = 0;
  #camera = null;
  #silent = null;

  constructor({ onMessage, onPicture, onSilent }) {
    this.onMessage = onMessage;
    this.onPicture = onPicture;
    this.onSilent = onSilent;
    this.#open();
    setInterval(() => this.#check(), CHECK_MS);
    document.addEventListener("visibilitychange", () => this.#check());
  }

  look(camera) {
    this.#camera = camera;
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ camera }));
  }

  #open() {
    const address = new URL("/live", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.#attempt = 0;
      if (this.#camera !== null) this.look(this.#camera);
    };
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = () => {
      const wait = AGAIN_MS[Math.min(this.#attempt++, AGAIN_MS.length - 1)];
      setTimeout(() => this.#open(), wait);
    };
  }

  #take(data) {
    if (typeof data !== "string") {
      this.onPicture(data);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "state") {
      this.#heardMs = performance.now();
      this.#check();
    }
    this.onMessage(message);
  }

  #check() {
    const silent = performance.now() - this.#heardMs > SILENT_MS;
    if (silent !== this.#silent) {
      this.#silent = silent;
      this.onSilent(silent);
    }
  }
}
