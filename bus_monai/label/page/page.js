// The page of `bus-monai label`: which image is open, and what each command does to it.
import { brushed } from "./brush.js";
import { $, ask, colorOf, during, make, query, remember, remembered, say, TOLERANCE } from "./common.js";
import { Drawing } from "./drawing.js";
import { Frames } from "./frames.js";
import { bind, showKeys } from "./keys.js";
import { click, fillBox, interpolate, outline } from "./model.js";
import { Outlines } from "./outlines.js";
import { askName, name, Saving } from "./save.js";
import { length, listLesions, makeFields, showFields } from "./side.js";
import { Tools } from "./tools.js";
import { chooseVersion, follow, stop, train } from "./training.js";
import { PRESETS, View } from "./view.js";

const FILLS = [0.15, 0, 0.4];
const NOT_CLOSED = "An outline is not closed yet: Enter closes it, Escape gives it up.";
const WINDOW = ["brightness", "contrast", "gamma-value"];
let image = null; // {id, frames, rows, columns, ...}
let frames = null;
let shown = 0; // frame
let lesion = null; // number that is drawn, null for a new one
let info = null;

const view = new View($("view"), () => outlines.resize());
const drawing = new Drawing((frame, another) => {
  if (!another) saving.keep();
  if (frame !== shown && !another) showFrame(frame);
  else show();
  showFields(drawing.state.fields);
});
const saving = new Saving(drawing, {
  frame: () => shown,
  lesion: () => lesion,
  corners: () => tools.corners,
  bitmap: (frame) => frames.bitmap(frame),
  changed: () => { $("kept").textContent = ""; },
  kept: () => { $("kept").textContent = drawing.unsaved || tools.corners.length ? "Draft kept" : ""; },
  lost: (error) => {
    $("kept").textContent = "Draft not kept";
    say(`The draft is not kept: ${error.message}`, true);
  },
});
const outlines = new Outlines(view, {
  edited: (contours) => drawing.edit([...elsewhere(), ...contours], shown),
  chosen: (contour) => { if (contour) chooseLesion(contour.label); },
});
const tools = new Tools(view, {
  outline: (points) => {
    const label = lesion ?? drawing.freeNumber();
    drawing.edit([...drawing.state.contours, { label, frame: shown, points }], shown);
  },
  stroke: (points, radius, adds) => {
    const label = lesion ?? (adds ? drawing.freeNumber() : null);
    const touched = drawing.of(shown).filter((contour) => label === null || contour.label === label);
    const labels = new Set(adds ? [label] : touched.map((contour) => contour.label));
    const made = [...labels].flatMap((number) => {
      const before = touched.filter((contour) => contour.label === number).map((contour) => contour.points);
      return brushed(before, points, radius, adds).map((after) => ({ label: number, frame: shown, points: after }));
    });
    drawing.edit([...drawing.state.contours.filter((contour) => !touched.includes(contour)), ...made], shown);
    if (adds) chooseLesion(label);
  },
  click: (pixel, adds) => here("Changing the outlines ...", click, pixel, adds),
  box: (from, to) => here("Filling the box ...", fillBox, from, to),
  cornered: () => saving.keep(),
  windowed: showWindow,
  color: () => colorOf(lesion ?? drawing.freeNumber()),
  length: (from, to) => {
    const text = length(image, from, to);
    say(`The ruler: ${text}.`);
    return text;
  },
});

// in its turn, if the image is still the one that was meant
function here(text, work, ...more) {
  const [meant, frame] = [image, shown];
  return image && during(text, () => (meant === image ? work(image, drawing, frame, ...more) : ""));
}

const elsewhere = () => drawing.state.contours.filter((contour) => contour.frame !== shown);

function chooseLesion(number) {
  lesion = number;
  $("number").value = number ?? "";
  side();
}

const side = () => image && listLesions(image, shown, drawing.of(shown), lesion, (number) => {
  chooseLesion(number);
  outlines.choose(drawing.of(shown).find((contour) => contour.label === number) ?? null);
});

function show() {
  outlines.show(drawing.of(shown));
  side();
}

function showFrame(frame) {
  shown = Math.min(Math.max(frame, 0), image.frames - 1);
  $("frame").value = shown;
  $("at").textContent = `${shown + 1} of ${image.frames}`;
  show();
  const wanted = shown;
  frames.bitmap(shown).then(
    (bitmap) => { if (wanted === shown) view.show(bitmap); },
    (error) => say(error.message, true),
  );
}

function showWindow() {
  WINDOW.forEach((id, place) => { $(id).value = view.window[place]; });
}

function setFill(share) {
  outlines.fill = share;
  $("fill").value = share;
  show();
}

async function listImages() {
  const images = await ask("/bus/images");
  $("images").replaceChildren(
    ...images.map(({ id, labeled }) => {
      const button = make("button", { textContent: id, onclick: () => during(`Opening ${id} ...`, () => open(id)) });
      button.ariaCurrent = String(id === image?.id);
      return make("li", { className: labeled ? "labeled" : "" }, button);
    }),
  );
  $("count").textContent = `${images.filter((one) => one.labeled).length} of ${images.length} labeled`;
  document.querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
  return images;
}

function checkFinished() {
  if (tools.corners.length) throw new Error(NOT_CLOSED);
}

// what was drawn is a draft before the image is left
async function leave() {
  await saving.flush();
  if (saving.pending) throw new Error(`What you drew on ${image.id} is not kept yet: wait for the server.`);
}

async function open(id) {
  checkFinished();
  await leave();
  const found = await ask(`/bus/label?${query({ image: id, annotator: name(), tolerance: TOLERANCE })}`);
  const coming = new Frames((frame) => `/bus/frame?${query({ image: id, frame })}`, found.frames);
  const bitmap = await coming.bitmap(0);
  await leave(); // it was still there to be drawn on
  frames?.close();
  [image, frames, shown, lesion] = [{ id, ...found }, coming, 0, null];
  frames.fetchAll();
  $("cine").hidden = image.frames === 1;
  $("frame").max = image.frames - 1;
  $("frame").value = 0;
  $("at").textContent = `1 of ${image.frames}`;
  $("number").value = "";
  $("kept").textContent = "";
  view.open(image.columns, image.rows);
  view.show(bitmap);
  view.window = PRESETS["As it is"];
  showWindow();
  tools.open();
  saving.open(image);
  const { model = null, model_version = null, origin, fields = {} } = found.record;
  const { contours } = found;
  const made = { model, model_version, edited: origin !== "accepted", fields };
  drawing.start({ contours, base: contours, ...made }, found.draft);
  goOn(found.draft);
  await listImages();
  const others = found.others.length ? ` ${found.others.join(", ")} has a draft of it too.` : "";
  return opened(found) + others;
}

// where the draft was left, within an outline too
function goOn(draft) {
  if (draft?.frame) showFrame(draft.frame);
  if (!draft?.corners?.length) return;
  commands.draw();
  chooseLesion(draft.lesion);
  tools.corners = draft.corners;
}

function opened({ draft, version, record, contours }) {
  const at = (ts) => new Date(1000 * ts).toLocaleString();
  if (draft) {
    const late = draft.replaces < version ? ` ${record.annotator ?? "Somebody"} has saved a label since.` : "";
    return `Your draft of ${at(draft.ts)}: it is not saved yet.${late}`;
  }
  if (!record.ts) return contours.length ? "Outlines that nobody has saved yet: correct them, and save." : "No label yet.";
  const what = record.normal ? "Normal" : "Its label";
  return `${what}, version ${version}, by ${record.annotator ?? "somebody"}, ${at(record.ts)}.`;
}

async function next() {
  const { id } = await ask(`/activelearning/${$("strategy").value}`, "POST", {});
  if (!id) return "Every image that can be read is labeled.";
  const said = await open(id);
  return $("at-once").checked && !drawing.state.contours.length ? outline(image, drawing, shown) : said;
}

// the image so many further in the list
const neighbor = (step) => () => {
  const buttons = [...document.querySelectorAll("#images button")];
  buttons[buttons.findIndex((one) => one.ariaCurrent === "true") + step]?.click();
};
// an outline belongs to the frame that it was begun on
function turnTo(frame) {
  frames.stop();
  if (tools.corners.length && image.frames > 1) say(NOT_CLOSED, true);
  else showFrame(frame);
  $("frame").value = shown;
}
const step = (count) => () => image && turnTo(shown + count);
const useTool = (name) => () => {
  document.querySelector(`[name=tool][value=${name}]`).checked = true;
  tools.use(name);
  outlines.editable = name === "edit";
  $("view").focus({ preventScroll: true });
};

const commands = {
  outline: () => here("The model looks ...", outline),
  save: () => image && during("Saving ...", async () => {
    checkFinished();
    const version = await saving.save();
    if (version === null) return "Not saved yet.";
    image.version = version;
    if (!saving.pending) $("kept").textContent = "";
    await listImages();
    return `Saved as version ${version} of the label of ${image.id}.`;
  }),
  next: () => during("Choosing ...", next),
  "image-after": neighbor(1),
  "image-before": neighbor(-1),
  undo: () => tools.back() || drawing.undo() || say("There is nothing to undo."),
  redo: () => drawing.redo() || say("There is nothing to redo."),
  close: () => tools.close(),
  cancel: () => { tools.cancel(); outlines.choose(null); chooseLesion(null); },
  delete: () => tools.back() || outlines.remove(),
  lesion: (key) => chooseLesion(Number(key)),
  "new-lesion": () => { outlines.choose(null); chooseLesion(null); },
  number: () => {
    const number = Number($("number").value) || null;
    const { chosen } = outlines;
    if (chosen && number) {
      const after = { ...chosen, label: number };
      outlines.choose(null);
      drawing.edit(drawing.state.contours.map((contour) => (contour === chosen ? after : contour)), shown);
    }
    chooseLesion(number);
  },
  smaller: () => tools.resizeBrush(1 / 1.2),
  larger: () => tools.resizeBrush(1.2),
  "zoom-in": () => view.zoomBy(1.25),
  "zoom-out": () => view.zoomBy(0.8),
  fit: () => view.fit(),
  preset: () => {
    const presets = Object.values(PRESETS);
    const at = presets.findIndex((values) => values.join() === view.window.join());
    view.window = presets[(at + 1) % presets.length];
    showWindow();
  },
  hide: () => view.outlines.hide(),
  fill: () => setFill(FILLS[(FILLS.indexOf(outlines.fill) + 1) % FILLS.length]),
  theme: () => {
    const theme = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
    remember("theme", theme);
  },
  help: () => showKeys(),
  play: () => {
    if (!image || image.frames === 1) return;
    if (frames.playing) frames.stop();
    else if (tools.corners.length) say(NOT_CLOSED, true);
    else frames.play(shown, image.frame_ms, showFrame);
  },
  "frame-after": step(1),
  "frame-before": step(-1),
  "ten-after": step(10),
  "ten-before": step(-10),
  "first-frame": () => step(-image.frames)(),
  "last-frame": () => step(image.frames)(),
  interpolate: () => here("Filling the frames between ...", interpolate),
};
for (const { value } of document.querySelectorAll("[name=tool]")) commands[value] = useTool(value);
bind(commands, (name) => name === "hide" && view.outlines.show());

const offerPoints = () => {
  const points = info.models[$("model").value]?.config?.sensitivity ?? [];
  $("sensitivity").replaceChildren(...points.map((name) => new Option(name)));
  $("find").hidden = !points.length;
};
$("model").onchange = offerPoints;
$("number").onchange = commands.number;
$("train").onclick = () => {
  const model = $("model").value;
  train(model, info.trainers[model].config).catch((error) => say(error.message, true));
};
$("stop").onclick = () => stop().catch((error) => say(error.message, true));
$("versions-of").onclick = () => during("", () => chooseVersion($("model").value));
$("frame").oninput = () => turnTo(Number($("frame").value));
for (const id of WINDOW) $(id).oninput = () => { view.window = WINDOW.map((one) => Number($(one).value)); };
$("fill").oninput = () => setFill(Number($("fill").value));
$("annotator").onclick = () => during("", async () => {
  checkFinished();
  await saving.flush();
  await askName();
  return image && open(image.id);
});
$("at-once").checked = remembered("at-once", "") === "yes";
$("at-once").onchange = () => remember("at-once", $("at-once").checked ? "yes" : "");
document.documentElement.dataset.theme = remembered("theme", "dark");

// the token is in a cookie now, and need not be seen
history.replaceState(null, "", location.pathname);
$("annotator").textContent = name();
if (!name()) await askName();
await during("Opening ...", async () => {
  info = await ask("/info/");
  $("model").append(...Object.keys(info.trainers).map((name) => new Option(name)));
  offerPoints();
  $("strategy").append(...Object.keys(info.strategies).map((name) => new Option(name)));
  makeFields(info.fields ?? [], (fields) => drawing.change({ fields }, shown));
  if ((await ask("/train/?check_if_running=true").catch(() => ({}))).status) follow();
  const images = await listImages();
  const first = images.find((one) => !one.labeled) ?? images[0];
  return first ? open(first.id) : "There are no images.";
});
