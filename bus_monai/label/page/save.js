// Nothing is lost: drafts after every change, a label of who made it how, and a conflict that the annotator settles.
import { $, ask, choose, make, query, remember, remembered, TOLERANCE } from "./common.js";
import { Outlines } from "./outlines.js";
import { View } from "./view.js";

const SOON_MS = 400; // from a change to its draft
const AGAIN_MS = 2000;
const IDLE_MS = 60_000; // without a touch no time is counted
const TAB = crypto.getRandomValues(new Uint32Array(2)).join("-"); // whose drafts are its own

// who draws: every label and draft has a name
export const name = () => remembered("annotator", "");

export async function askName() {
  const input = make("input", { type: "text", value: name(), required: true, maxLength: 60 });
  input.pattern = "[\\p{L}\\p{N}][\\p{L}\\p{N}_ .'\\-]*";
  do await choose("Who labels?", make("label", {}, "Your name", input), { done: "Begin" });
  while (!input.value.trim() || !input.checkValidity());
  remember("annotator", input.value.trim());
  $("annotator").textContent = name();
}

export class Saving {
  #timer = 0;
  #changes = 0;
  #running = Promise.resolve(); // what is sent, which never fails
  #touched = 0;
  image = null; // {id, version, ...} of the server

  // told: changed(), kept(), lost(error); asked: frame(), bitmap(frame), lesion(), and corners() of an outline that is
  // not closed
  constructor(drawing, told) {
    this.drawing = drawing;
    this.told = told;
    for (const kind of ["pointerdown", "pointermove", "wheel", "keydown"]) {
      window.addEventListener(kind, () => (this.#touched = performance.now()), { passive: true });
    }
    setInterval(() => {
      if (!document.hidden && performance.now() - this.#touched < IDLE_MS) this.seconds += 1;
    }, 1000);
    window.addEventListener("beforeunload", (event) => this.pending && event.preventDefault());
  }

  open(image) {
    clearTimeout(this.#timer);
    this.image = image;
    this.seconds = image.draft?.seconds ?? 0;
    this.replaces = image.draft?.replaces ?? image.version;
    this.pending = false;
  }

  // after a change
  keep() {
    this.pending = true;
    this.told.changed();
    this.#changes += 1;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#keepInTurn(), SOON_MS);
  }

  // what waits is kept now
  async flush() {
    clearTimeout(this.#timer);
    await this.#running;
    if (this.pending) await this.#keepInTurn();
  }

  // whose drafts may be replaced and removed: those of this tab, and the one that it goes on from
  get #by() {
    return { tab: TAB, seen: this.image.draft?.id ?? "" };
  }

  #keepInTurn() {
    return (this.#running = this.#running.then(() => this.#keep()));
  }

  async #keep() {
    const { state, unsaved } = this.drawing;
    const corners = this.told.corners();
    const changes = this.#changes;
    const address = { image: this.image.id, annotator: name() };
    try {
      if (unsaved || corners.length) {
        // most often the clicks change what is drawn, which need not be sent twice
        const base = state.base === state.contours ? undefined : state.base;
        const { seconds, replaces } = this;
        const place = { frame: this.told.frame(), lesion: this.told.lesion() };
        const draft = { ...state, base, corners, seconds, replaces, ...place, ...this.#by };
        await ask(`/bus/draft?${query(address)}`, "PUT", draft);
      } else await ask(`/bus/draft?${query({ ...address, ...this.#by })}`, "DELETE");
      if (changes !== this.#changes) return;
      this.pending = false;
      this.told.kept();
    } catch (error) {
      this.told.lost(error);
      clearTimeout(this.#timer);
      // what the server refuses is refused again
      if (error.status === 0 || error.status === 401) this.#timer = setTimeout(() => this.#keepInTurn(), AGAIN_MS);
    }
  }

  // Return the number of the new version, or null where the annotator thinks again.
  async save() {
    const { drawing } = this;
    const { state, origin } = drawing;
    const { contours, model, model_version, fields } = state;
    const normal = contours.length === 0;
    if (normal) {
      await this.flush(); // a question may stay open for long
      const answer = await choose("No lesion: normal?", "Nothing is outlined. Save that this image shows no lesion?", {
        normal: "Save as normal", back: "Back",
      });
      if (answer !== "normal") return null;
    }
    const label = {
      contours, model, model_version, fields, normal,
      annotator: name(), origin, seconds: this.seconds, replaces: this.replaces, ...this.#by,
    };
    clearTimeout(this.#timer);
    await this.#running; // else a draft could come after the label
    const changes = this.#changes;
    try {
      const { version } = await ask(`/bus/label?${query({ image: this.image.id })}`, "PUT", label);
      this.replaces = version;
      this.seconds = 0;
      // what was drawn since is a draft
      this.pending = changes !== this.#changes;
      drawing.saved(state);
      return version;
    } catch (error) {
      if (error.status !== 409) {
        this.keep();
        throw error;
      }
      await this.flush();
      return this.#settle();
    }
  }

  // side by side: theirs, which was saved meanwhile, and mine
  async #settle() {
    const address = query({ image: this.image.id, annotator: name(), tolerance: TOLERANCE });
    const theirs = await ask(`/bus/label?${address}`);
    const who = theirs.record.annotator ?? "somebody";
    const when = new Date(1000 * theirs.record.ts).toLocaleString();
    const sides = make("div", { id: "sides" });
    const views = [];
    const columns = [
      [`${who}, version ${theirs.version}, ${when}`, theirs.contours], ["Yours", this.drawing.state.contours],
    ];
    for (const [title, contours] of columns) {
      const place = make("div", { className: "side" });
      sides.append(make("figure", {}, make("figcaption", { textContent: title }), place));
      views.push([place, contours]);
    }
    const answered = choose(`${who} has saved a label of this image meanwhile`, sides, {
      back: "Go on editing mine", mine: `Save mine as version ${theirs.version + 1}`, theirs: "Take theirs",
    });
    for (const [place, contours] of views) this.#draw(place, contours);
    const answer = await answered;
    if (answer === "theirs") {
      const { model = null, model_version = null, origin, fields = {} } = theirs.record;
      const edited = origin === "edited";
      this.replaces = theirs.version;
      const { contours } = theirs;
      const made = { model, model_version, edited, fields, clicks: [], roi: null };
      this.drawing.change({ contours, base: contours, ...made }, this.told.frame());
      this.drawing.saved(this.drawing.state);
      this.keep();
      return null;
    }
    if (answer !== "mine") {
      this.keep();
      return null;
    }
    this.replaces = theirs.version;
    return this.save();
  }

  async #draw(place, contours) {
    const view = new View(place);
    const outlines = new Outlines(view, { edited: () => null, chosen: () => null });
    outlines.editable = false;
    view.open(this.image.columns, this.image.rows);
    const now = this.told.frame();
    const frame = contours.some((contour) => contour.frame === now) ? now : (contours[0]?.frame ?? now);
    view.show(await this.told.bitmap(frame));
    outlines.show(contours.filter((contour) => contour.frame === frame));
    $("dialog").addEventListener("close", () => view.stage.destroy(), { once: true });
  }
}
