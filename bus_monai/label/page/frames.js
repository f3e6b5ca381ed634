// The frames of an image: fetched once each, the next ones ahead, decoded near the one that is shown, and played.
const AT_ONCE = 3; // requests
const DECODED = 40; // frames

export class Frames {
  #files = new Map(); // frame -> promise of a file
  #bitmaps = new Map(); // frame -> promise of what can be drawn, the last used at the end
  #closed = false;
  playing = null;

  constructor(address, count) {
    this.address = address;
    this.count = count;
  }

  // begin to fetch all, from one on
  fetchAll(from = 0) {
    const order = Array.from({ length: this.count }, (_, place) => (from + place) % this.count).values();
    const worker = async () => {
      for (const frame of order) {
        if (this.#closed) return;
        await this.#file(frame).catch(() => null);
      }
    };
    for (let count = 0; count < AT_ONCE; count += 1) worker();
  }

  bitmap(frame) {
    const found = this.#bitmaps.get(frame) ?? this.#file(frame).then((file) => createImageBitmap(file));
    this.#bitmaps.delete(frame);
    this.#bitmaps.set(frame, found);
    found.catch(() => this.#bitmaps.delete(frame));
    if (this.#bitmaps.size > DECODED) {
      const [oldest, bitmap] = this.#bitmaps.entries().next().value;
      this.#bitmaps.delete(oldest);
      bitmap.then((one) => one.close(), () => null);
    }
    return found;
  }

  // show frame after frame, each as long as it lasts; a frame that is late is waited for
  async play(from, frame_ms, show) {
    const run = {}; // until it is stopped, or another begins
    const ended = () => this.playing !== run || this.#closed;
    this.playing = run;
    let due = performance.now();
    for (let frame = from; !ended(); frame = (frame + 1) % this.count) {
      const bitmap = await this.bitmap(frame).catch(() => null);
      this.bitmap((frame + 1) % this.count).catch(() => null); // decoded by then
      const wait = due - performance.now();
      if (wait > 0) await new Promise((wake) => setTimeout(wake, wait));
      await new Promise((wake) => requestAnimationFrame(wake));
      if (ended()) return;
      if (bitmap) show(frame);
      due = Math.max(due + frame_ms, performance.now());
    }
  }

  stop() {
    this.playing = null;
  }

  close() {
    this.#closed = true;
    for (const bitmap of this.#bitmaps.values()) bitmap.then((one) => one.close(), () => null);
  }

  #file(frame) {
    if (!this.#files.has(frame)) {
      const file = fetch(this.address(frame)).then(async (answer) => {
        if (answer.ok) return answer.blob();
        throw new Error((await answer.json().catch(() => ({}))).detail ?? `The server answers ${answer.status}.`);
      });
      file.catch(() => this.#files.delete(frame));
      this.#files.set(frame, file);
    }
    return this.#files.get(frame);
  }
}
