// The outlines of a frame on the view: chosen by a click, moved by a drag, changed at their corners.
import { colorOf } from "./common.js";
import { ofScreen } from "./view.js";

const CORNER = 5; // screen pixels
const HIT = 10;

export class Outlines {
  #chosen = null;
  #contours = [];
  fill = 0.15;

  // `edited` is told of all outlines of the frame after a change, `chosen` of that which is chosen
  constructor(view, { edited, chosen }) {
    this.view = view;
    this.layer = view.outlines;
    this.told = { edited, chosen };
    Konva.dragButtons = [0];
    view.stage.on("pointerdown", (event) => event.target === view.stage && this.choose(null));
  }

  get chosen() {
    return this.#chosen;
  }

  set editable(yes) {
    this.layer.listening(yes);
    this.#draw();
    this.layer.draw(); // they can be chosen at once
  }

  show(contours) {
    this.#contours = contours;
    if (!contours.includes(this.#chosen)) this.#chosen = null;
    this.#draw();
    this.told.chosen(this.#chosen);
  }

  choose(contour) {
    this.#chosen = contour;
    this.#draw();
    this.layer.draw(); // its corners can be dragged at once
    this.told.chosen(contour);
  }

  remove() {
    if (this.#chosen) this.told.edited(this.#contours.filter((contour) => contour !== this.#chosen));
  }

  // the screen size of corners is the same at each scale
  resize() {
    for (const corner of this.layer.find(".corner")) corner.radius(corner.getAttr("share") * this.#length(CORNER));
  }

  #length(pixels) {
    return pixels / this.view.scale;
  }

  #replace(points) {
    const { between, ...before } = this.#chosen;
    const after = { ...before, points };
    const contours = this.#contours.map((contour) => (contour === this.#chosen ? after : contour));
    this.#chosen = after;
    this.told.edited(contours);
  }

  #draw() {
    this.layer.destroyChildren();
    for (const [label, contours] of Map.groupBy(this.#contours, (contour) => contour.label)) {
      const data = contours.map(({ points }) => `M${points.map((p) => ofScreen([p]).join(" ")).join("L")}Z`).join("");
      const look = { fill: colorOf(label), opacity: this.fill, fillRule: "evenodd", listening: false };
      this.layer.add(new Konva.Path({ data, ...look }));
    }
    for (const contour of this.#contours) this.#line(contour);
  }

  #line(contour) {
    const chosen = contour === this.#chosen && this.layer.listening();
    const line = new Konva.Line({
      points: ofScreen(contour.points),
      closed: true,
      fill: "transparent", // inside counts too
      stroke: colorOf(contour.label),
      strokeWidth: chosen ? 2.5 : 1.5,
      dash: contour.between ? [6, 4] : [],
      strokeScaleEnabled: false,
      hitStrokeWidth: HIT,
      draggable: chosen,
    });
    this.layer.add(line);
    line.on("pointerdown", () => contour !== this.#chosen && this.choose(contour));
    line.on("dragend", () => {
      const [right, down] = [line.x(), line.y()];
      this.#replace(contour.points.map(([column, row]) => [column + right, row + down]));
    });
    if (chosen) this.#corners(contour, line);
  }

  // one in the middle of each side makes a new corner there
  #corners(contour, line) {
    const { points } = contour;
    points.forEach((point, place) => {
      const next = points[(place + 1) % points.length];
      const middle = [(point[0] + next[0]) / 2, (point[1] + next[1]) / 2];
      this.#corner(line, middle, 0.6, (to) => points.toSpliced(place + 1, 0, to));
    });
    points.forEach((point, place) => {
      const corner = this.#corner(line, point, 1, (to) => points.with(place, to));
      // the browser knows how fast this user and this machine double-click; Konva's "dblclick" allows 0.4 s
      corner.on("click", ({ evt }) => {
        if (evt.detail === 2 && points.length > 3) this.#replace(points.toSpliced(place, 1));
      });
    });
  }

  #corner(line, [column, row], share, moved) {
    const corner = new Konva.Circle({
      x: column + 0.5,
      y: row + 0.5,
      share,
      name: "corner",
      radius: share * this.#length(CORNER),
      fill: share === 1 ? "#ffffff" : "#ffffff88",
      stroke: "#000000aa",
      strokeWidth: 1,
      strokeScaleEnabled: false,
      hitStrokeWidth: HIT,
      draggable: true,
    });
    const points = () => moved([corner.x() - 0.5, corner.y() - 0.5]);
    corner.on("dragmove", () => line.points(ofScreen(points())));
    corner.on("dragend", () => this.#replace(points()));
    this.layer.add(corner);
    return corner;
  }
}
