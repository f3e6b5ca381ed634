// What the pointer does on the view: draw, brush, click, box, ruler, and with any tool pan and brightness.
import { straightened } from "./brush.js";
import { ofScreen } from "./view.js";

const NEAR = 8; // screen pixels from the first corner that close an outline
const FREEHAND = 8; // points of a drag that make it a line by hand
const RANGE = 400; // screen pixels that double brightness or contrast
const STROKE = { strokeScaleEnabled: false, lineCap: "round", lineJoin: "round" };

export class Tools {
  #corners = []; // of the outline that is being drawn
  #drag = null;
  name = "edit";
  radius = 12; // of the brush, in pixels of the image

  // told: outline(points), cornered(), stroke(points, radius, adds), click(pixel, adds), box(from, to), windowed(),
  // color(), length(from, to) in words
  constructor(view, told) {
    this.view = view;
    this.told = told;
    this.line = new Konva.Line({ ...STROKE, stroke: "#ffd000", strokeWidth: 1.5 });
    this.cursor = new Konva.Circle({ ...STROKE, stroke: "#fff", strokeWidth: 1, visible: false });
    this.ruler = new Konva.Group();
    const { element } = view;
    // before Konva sees it, for which outlines can be dragged
    element.addEventListener("pointerdown", (event) => this.#down(event), { capture: true });
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", () => (this.#drag = null));
    element.addEventListener("pointerleave", () => this.cursor.hide());
    element.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // another image is there
  open() {
    this.#corners = [];
    this.ruler.destroyChildren();
    this.view.marks.add(this.line, this.cursor, this.ruler);
    this.line.points([]);
  }

  use(name) {
    this.close();
    this.cancel();
    this.name = name;
    this.cursor.hide();
    this.view.element.dataset.tool = name;
  }

  cancel() {
    if (this.#corners.length) this.corners = [];
    this.#drag = null;
    this.line.points([]);
    this.ruler.destroyChildren();
  }

  // of an outline that is begun and not closed
  get corners() {
    return this.#corners;
  }

  set corners(points) {
    this.#corners = points;
    this.#drawing();
    this.told.cornered();
  }

  // take back the last corner; tell whether there was one
  back() {
    if (!this.#corners.length) return false;
    this.corners = this.#corners.slice(0, -1);
    return true;
  }

  close() {
    if (this.#corners.length < 3) return;
    const points = this.#corners;
    this.cancel();
    this.told.outline(points);
  }

  resizeBrush(factor) {
    this.radius = Math.min(Math.max(this.radius * factor, 1), 500);
    this.cursor.radius(this.radius);
  }

  #down(event) {
    const name = event.button === 1 || event.shiftKey ? "pan" : event.button === 2 ? "window" : this.name;
    if (!this.view.size) return;
    if (name === "edit") {
      this.view.outlines.draw(); // Konva hits what it has drawn, else as of the last frame of the screen
      return;
    }
    event.stopPropagation();
    event.preventDefault(); // no event of a mouse follows
    this.view.element.focus({ preventScroll: true });
    this.view.element.setPointerCapture(event.pointerId);
    const at = this.view.at(event);
    this.#drag = { name, from: at, x: event.clientX, y: event.clientY, path: [at], window: this.view.window };
    if (name === "draw") this.#corner(at);
    if (name === "brush" || name === "erase") this.#stroke();
  }

  #move(event) {
    if (!this.view.size) return;
    const at = this.view.at(event);
    this.cursor.visible(this.name === "brush" || this.name === "erase");
    this.cursor.setAttrs({ x: at[0] + 0.5, y: at[1] + 0.5, radius: this.radius });
    const drag = this.#drag;
    if (!drag) {
      if (this.name === "draw" && this.#corners.length) this.#drawing(at);
      return;
    }
    if (drag.name === "pan") {
      this.view.pan(event.clientX - drag.x, event.clientY - drag.y);
      [drag.x, drag.y] = [event.clientX, event.clientY];
      return;
    }
    if (drag.name === "window") {
      const [brightness, contrast, gamma] = drag.window;
      const grown = (value, pixels) => Math.min(Math.max(value * 2 ** (pixels / RANGE), 0.2), 5);
      this.view.window = [
        grown(brightness, drag.y - event.clientY), grown(contrast, event.clientX - drag.x), gamma,
      ];
      this.told.windowed();
      return;
    }
    // where it was since the last frame of the screen, too
    const way = event.getCoalescedEvents().map((one) => this.view.at(one));
    drag.path.push(...way);
    if (drag.name === "draw" && drag.path.length > 2) {
      this.corners = [...this.#corners, ...way];
    } else if (drag.name === "brush" || drag.name === "erase") this.#stroke();
    else if (drag.name === "box") {
      const [[left, top], [right, bottom]] = [drag.from, at];
      const look = { ...STROKE, closed: true, stroke: "#ffd000", strokeWidth: 1.5, opacity: 1, dash: [5, 4] };
      this.line.setAttrs({ ...look, points: ofScreen([[left, top], [right, top], [right, bottom], [left, bottom]]) });
    } else if (drag.name === "ruler") this.#measure(drag.from, at);
  }

  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag || !this.view.size) return;
    const pixels = [this.view.pixel(drag.from), this.view.pixel(this.view.at(event))];
    if (drag.name === "add" || drag.name === "remove") this.told.click(pixels[0], drag.name === "add");
    else if (drag.name === "brush" || drag.name === "erase") {
      this.line.points([]);
      this.told.stroke(drag.path, this.radius, drag.name === "brush");
    } else if (drag.name === "box") {
      this.line.points([]);
      this.told.box(...pixels);
    } else if (drag.name === "draw" && drag.path.length > FREEHAND) {
      this.#corners = straightened(this.#corners);
      this.close();
    }
  }

  #corner(at) {
    const [first] = this.#corners;
    const near = (point) => Math.hypot(point[0] - at[0], point[1] - at[1]) * this.view.scale < NEAR;
    if (first && near(first)) return this.close();
    // the second click of two at one place ends it
    if (first && near(this.#corners.at(-1))) return this.close();
    this.corners = [...this.#corners, at];
  }

  #drawing(at = null) {
    const look = { ...STROKE, closed: false, stroke: this.told.color(), strokeWidth: 1.5, opacity: 1, dash: [] };
    this.line.setAttrs({ ...look, points: ofScreen(at ? [...this.#corners, at] : this.#corners) });
  }

  #stroke() {
    const { path, name } = this.#drag;
    const points = ofScreen(path.length > 1 ? path : [path[0], path[0]]);
    const stroke = name === "brush" ? this.told.color() : "#000";
    const look = { closed: false, stroke, strokeWidth: 2 * this.radius, opacity: 0.5, dash: [] };
    this.line.setAttrs({ ...look, strokeScaleEnabled: true, points });
  }

  // a length on the image, until the next one
  #measure(from, to) {
    this.ruler.destroyChildren();
    const [size, place] = [1 / this.view.scale, ofScreen([to])];
    this.ruler.add(new Konva.Line({ ...STROKE, stroke: "#ffd000", strokeWidth: 2, points: ofScreen([from, to]) }));
    const look = { fill: "#ffd000", fontSize: 14, scaleX: size, scaleY: size, shadowColor: "#000", shadowBlur: 3 };
    const text = this.told.length(from, to);
    this.ruler.add(new Konva.Text({ ...look, text, x: place[0] + 8 * size, y: place[1] + 8 * size }));
  }
}
