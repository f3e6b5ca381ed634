// The image on the screen: zoom, pan, brightness and contrast, on a stage of Konva whose unit is the image's pixel.
const NOTCH = 500; // pixels that the wheel turns for e times the scale; a notch has 100 or 120
const MOST = 40; // screen pixels a pixel

export const PRESETS = {
  "As it is": [1, 1, 1],
  Bright: [1.5, 1, 1],
  "Dark parts": [1, 1, 1.8],
  Contrast: [1, 1.7, 1],
};

export class View {
  #fitted = true;

  // `zoomed` is told whenever the scale changes
  constructor(element, zoomed) {
    this.element = element;
    this.zoomed = zoomed;
    this.stage = new Konva.Stage({ container: element, width: 1, height: 1 });
    this.picture = new Konva.Layer({ listening: false });
    this.outlines = new Konva.Layer();
    this.marks = new Konva.Layer({ listening: false });
    this.stage.add(this.picture, this.outlines, this.marks);
    this.image = new Konva.Image({ perfectDrawEnabled: false });
    this.picture.add(this.image);
    this.window = [1, 1, 1];
    new ResizeObserver(() => this.#resize()).observe(element);
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / NOTCH), this.#pointer(event));
    }, { passive: false });
  }

  // another image
  open(columns, rows) {
    this.size = [columns, rows];
    this.image.size({ width: columns, height: rows });
    this.outlines.destroyChildren();
    this.marks.removeChildren(); // the tools put theirs back
    this.#fitted = true;
    this.#resize(); // what is around it may have changed, and a click may come before the observer tells
  }

  show(bitmap) {
    this.image.image(bitmap);
  }

  get scale() {
    return this.stage.scaleX();
  }

  fit() {
    this.#fitted = true;
    if (!this.size) return;
    const [columns, rows] = this.size;
    const scale = Math.min(this.stage.width() / columns, this.stage.height() / rows);
    const place = { x: (this.stage.width() - columns * scale) / 2, y: (this.stage.height() - rows * scale) / 2 };
    this.#place(scale, place);
  }

  // about a point of the screen, which stays where it is
  zoomBy(factor, at = { x: this.stage.width() / 2, y: this.stage.height() / 2 }) {
    if (!this.size) return;
    const least = Math.min(...this.size.map((length) => 50 / length));
    const scale = Math.min(Math.max(this.scale * factor, least), MOST);
    const grown = scale / this.scale;
    this.#fitted = false;
    this.#place(scale, { x: at.x - (at.x - this.stage.x()) * grown, y: at.y - (at.y - this.stage.y()) * grown });
  }

  pan(right, down) {
    this.#fitted = false;
    this.stage.position({ x: this.stage.x() + right, y: this.stage.y() + down });
  }

  // where a pointer is: [column, row], 0 in the middle of a pixel
  at(event) {
    const { x, y } = this.#pointer(event);
    return [(x - this.stage.x()) / this.scale - 0.5, (y - this.stage.y()) / this.scale - 0.5];
  }

  // the pixel that a place is in, or the nearest
  pixel(place) {
    return place.map((value, axis) => Math.min(Math.max(Math.round(value), 0), this.size[axis] - 1));
  }

  // brightness, contrast and gamma, 1 for the image as it is
  set window(values) {
    this.values = values;
    const [brightness, contrast, gamma] = values;
    for (const part of document.querySelectorAll("#gamma [exponent]")) part.setAttribute("exponent", 1 / gamma);
    const canvas = this.picture.getNativeCanvasElement();
    const curve = gamma === 1 ? "" : " url(#gamma)";
    canvas.style.filter = values.every((value) => value === 1)
      ? "" : `brightness(${brightness}) contrast(${contrast})${curve}`;
  }

  get window() {
    return this.values;
  }

  #pointer(event) {
    const { left, top } = this.element.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  }

  #place(scale, place) {
    this.stage.scale({ x: scale, y: scale });
    this.stage.position(place);
    this.zoomed?.();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.element;
    const before = { x: this.stage.width(), y: this.stage.height() };
    this.stage.size({ width: clientWidth, height: clientHeight });
    if (this.#fitted) this.fit();
    else this.pan((clientWidth - before.x) / 2, (clientHeight - before.y) / 2);
  }
}

export const ofScreen = (points) => points.flatMap(([column, row]) => [column + 0.5, row + 0.5]);
