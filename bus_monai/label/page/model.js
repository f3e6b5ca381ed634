// What is drawn with the server's help: what a model finds, what clicks and a box make of it, and the frames between.
import { overlap } from "./brush.js";
import { $, ask, choose, query, TOLERANCE } from "./common.js";

async function infer(image, model, params) {
  const form = new FormData();
  const sensitivity = $("sensitivity").value || undefined;
  form.append("params", JSON.stringify({ tolerance: TOLERANCE, sensitivity, ...params }));
  return ask(`/infer/${encodeURIComponent(model)}?${query({ image: image.id, output: "json" })}`, "POST", form);
}

// in place of what there is, or beside it where that was made by hand
export async function outline(image, drawing, frame) {
  const [model, sensitivity] = [$("model").value, $("sensitivity").value];
  const { contours, edited } = drawing.state;
  let answer = "replace";
  if (contours.length && (edited || drawing.origin === "drawn")) {
    const asks = "Put what the model finds in their place, or beside them?";
    const answers = { add: "Add", replace: "Replace", back: "Back" };
    answer = await choose("There are outlines made by hand", asks, answers);
    if (answer !== "add" && answer !== "replace") return "Nothing was changed.";
  }
  const found = await infer(image, model, {});
  const count = Object.keys(found.label_names).length;
  const says = `Version ${found.model_version} found ${count === 1 ? "1 lesion" : `${count || "no"} lesions`}`;
  const from = { model, model_version: found.model_version, sensitivity, clicks: [], roi: null };
  if (answer === "replace") {
    drawing.change({ ...from, contours: found.contours, base: null, edited: false }, frame);
    return `${says}.`;
  }
  const added = beside(found.contours, contours);
  const all = [...contours, ...added];
  // where nothing is added, what there is stays the work of a hand
  if (added.length) drawing.change({ ...from, contours: all, base: all, edited: true }, frame);
  const left = count - new Set(added.map((contour) => contour.label)).size;
  if (!left) return `${says}.`;
  const which = count === 1 ? "it" : `${left} of them`;
  return `${says}; ${which} ${left === 1 ? "lies" : "lie"} on outlines that were there before: not added.`;
}

// Return the lesions that lie on none of those that there are, with numbers of their own.
function beside(found, there) {
  const last = Math.max(...there.map((contour) => contour.label));
  const of = (contours, frame) => contours.filter((one) => one.frame === frame).map((one) => one.points);
  const free = [...Map.groupBy(found, (contour) => contour.label).values()].filter((lesion) =>
    [...new Set(lesion.map((one) => one.frame))].every((frame) => !overlap(of(lesion, frame), of(there, frame))),
  );
  return free.flatMap((lesion, place) => lesion.map((contour) => ({ ...contour, label: last + 1 + place })));
}

// Change what the model found where it would find that again; by another, as after a hand, what is drawn is changed by
// the last click or box alone.
async function refine(image, drawing, state, last, frame) {
  const [model, sensitivity] = [$("model").value, $("sensitivity").value];
  const result = ({ base, clicks, roi }) =>
    infer(image, `${model}_clicks`, { clicks, roi, ...(base && { contours: base }) });
  const same = state.base || (state.model === model && state.sensitivity === sensitivity);
  let next = state;
  let found = same && (await result(next));
  if (!same || (!state.base && found.model_version !== state.model_version)) {
    next = { ...state, base: drawing.state.contours, clicks: [], roi: null, ...last };
    found = await result(next);
  }
  drawing.change({ ...next, contours: found.contours, edited: true }, frame);
}

export async function click(image, drawing, frame, [column, row], adds) {
  const last = [column, row, frame, Number(adds)];
  const clicks = [...drawing.state.clicks, last];
  await refine(image, drawing, { ...drawing.state, clicks }, { clicks: [last] }, frame);
  const { length } = drawing.state.clicks;
  return `${length} click${length > 1 ? "s" : ""}`;
}

export async function fillBox(image, drawing, frame, from, to) {
  const { state } = drawing;
  const [[left, right], [top, bottom]] = [0, 1].map((axis) => [from[axis], to[axis]].sort((a, b) => a - b));
  const after = state.roi || state.clicks.length ? { base: state.contours, clicks: [] } : {};
  const last = { roi: [left, right + 1, top, bottom + 1, frame] };
  await refine(image, drawing, { ...state, ...after, ...last }, last, frame);
  return "Filled.";
}

// those that were filled before are made anew
export async function interpolate(image, drawing, frame) {
  const contours = drawing.state.contours.filter((contour) => !contour.between);
  const address = `/bus/interpolated?${query({ image: image.id, tolerance: TOLERANCE })}`;
  const found = await ask(address, "POST", { contours });
  if (!found.length) return "Outline a lesion in two frames that are not neighbors: those between are filled.";
  drawing.edit([...contours, ...found.map((contour) => ({ ...contour, between: true }))], frame);
  return `${found.length} outlines in the frames between.`;
}
