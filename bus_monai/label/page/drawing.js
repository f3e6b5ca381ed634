// What is drawn on an image: one state after the other, so that undo and redo go over all of it, by hand or by a model.
//
// An outline is {label, frame, points, between}, points [column, row], 0 in the middle of a pixel; `between` marks those
// that were interpolated. A state has
//   contours      outlines of all frames,
//   base          what the clicks change: outlines, or null for what the model finds,
//   clicks, roi   since then: [column, row, frame, 1 or 0], and [left, right, top, bottom, frame],
//   model, model_version, edited   whose result it began with, and whether it was changed since,
//   sensitivity   at which the model found that,
//   fields        of the case, by name.
const EMPTY = {
  contours: [], base: [], clicks: [], roi: null, model: null, model_version: null, edited: false, sensitivity: "",
  fields: {},
};
const MOST = 500; // states that are kept

export class Drawing {
  #past = [];
  #future = [];
  #saved = EMPTY;
  state = EMPTY;

  // `changed` is told of every new state, with the frame where it was made, and whether it comes with another image
  constructor(changed) {
    this.changed = changed;
  }

  // another image, with what is saved of it and what was drawn since
  start(saved, draft = null) {
    this.#saved = { ...EMPTY, ...saved };
    this.#past = draft ? [{ state: this.#saved, frame: 0 }] : [];
    this.#future = [];
    this.state = draft ? { ...EMPTY, base: draft.contours, ...draft } : this.#saved;
    this.changed(0, true);
  }

  get unsaved() {
    return this.state !== this.#saved;
  }

  // what was saved, which may have been changed since
  saved(state) {
    this.#saved = state;
  }

  change(part, frame) {
    this.#past.push({ state: this.state, frame });
    if (this.#past.length > MOST) this.#past.shift();
    this.#future = [];
    this.state = { ...this.state, ...part };
    this.changed(frame);
  }

  // by hand: from here on the clicks change what is drawn
  edit(contours, frame) {
    this.change({ contours, base: contours, clicks: [], roi: null, edited: true }, frame);
  }

  undo() {
    return this.#go(this.#past, this.#future);
  }

  redo() {
    return this.#go(this.#future, this.#past);
  }

  #go(from, to) {
    const found = from.pop();
    if (!found) return false;
    to.push({ state: this.state, frame: found.frame });
    this.state = found.state;
    this.changed(found.frame);
    return true;
  }

  of(frame) {
    return this.state.contours.filter((contour) => contour.frame === frame);
  }

  freeNumber() {
    const taken = new Set(this.state.contours.map((contour) => contour.label));
    let number = 1;
    while (taken.has(number)) number += 1;
    return number;
  }

  get origin() {
    if (!this.state.model) return "drawn";
    return this.state.edited ? "edited" : "accepted";
  }
}
