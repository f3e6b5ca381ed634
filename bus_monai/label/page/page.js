// The page of `bus-monai label`. An outline is {label, frame, points}, points [column, row], 0 in the middle of a pixel;
// in Annotorious 0 is the edge of the image.
const $ = (id) => document.getElementById(id);
const COLORS = ["#00d5ff", "#ff9f1c", "#7dff6b", "#ff5fa2", "#c59bff", "#ffe14d"];
const TOLERANCE = 0.9; // pixels; outlines of every corner of a pixel cannot be edited by hand

let image = null; // {id, frames, rows, columns}
let contours = []; // of all frames
let base = []; // what the clicks change: outlines, or null for what the model finds
let clicks = []; // [column, row, frame, 1 or 0] since then
let roi = null; // [left, right, top, bottom, frame] since then
let annotator = null;
let unsaved = false;

async function ask(url, method = "GET", body = undefined) {
  const form = body instanceof FormData;
  const headers = body && !form ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(url, { method, headers, body: body && !form ? JSON.stringify(body) : body });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.detail ?? `The server answers ${answer.status}.`);
  return content;
}

function say(text, error = false) {
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
}

// one thing at a time, with its error in words
let busy = false;
async function during(text, work) {
  if (busy) return;
  busy = true;
  say(text);
  try {
    say((await work()) ?? "");
  } catch (error) {
    say(error.message, true);
  } finally {
    busy = false;
  }
}

const frame = () => Number($("frame").value);
const query = (id) => `image=${encodeURIComponent(id)}`;

async function listImages() {
  const images = await ask("/bus/images");
  $("images").replaceChildren(
    ...images.map(({ id, labeled }) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.textContent = id;
      button.ariaCurrent = String(id === image?.id);
      button.onclick = () => during(`Opening ${id} ...`, () => open(id));
      item.className = labeled ? "labeled" : "";
      item.append(button);
      return item;
    }),
  );
  $("count").textContent = `${images.filter((one) => one.labeled).length} of ${images.length} labeled`;
  return images;
}

async function open(id) {
  if (unsaved && !confirm(`Leave ${image.id} without submitting its outlines?`)) return;
  const found = await ask(`/bus/label?${query(id)}&tolerance=${TOLERANCE}`);
  const picture = new Image();
  picture.src = `/bus/frame?${query(id)}&frame=0`;
  await picture.decode();
  annotator?.destroy();
  $("view").replaceChildren(picture);
  image = { id, ...found };
  $("frame").max = image.frames - 1;
  $("frame").value = 0;
  $("frames").hidden = image.frames === 1;
  annotator = Annotorious.createImageAnnotator(picture, {
    drawingEnabled: false,
    drawingMode: "click",
    style: ({ bodies }, state) => {
      const color = COLORS[((bodies[0]?.value ?? 1) - 1) % COLORS.length];
      return { stroke: color, strokeWidth: 2, fill: color, fillOpacity: state?.selected ? 0.25 : 0.1 };
    },
  });
  annotator.setDrawingTool("polygon");
  annotator.on("createAnnotation", (made) => {
    // without a number yet
    annotator.updateAnnotation({ ...made, bodies: [body(made.id, freeNumber())] });
    edited();
  });
  // some come late: below the cover nothing is edited by hand any more
  const unlessCovered = () => $("cover") || edited();
  annotator.on("updateAnnotation", unlessCovered);
  annotator.on("deleteAnnotation", unlessCovered);
  annotator.on("selectionChanged", selected);
  start(found.contours);
  unsaved = false;
  useTool();
  const { clientWidth, clientHeight } = $("view");
  $("zoom").value = Math.floor(100 * Math.min(1, (clientHeight * image.columns) / image.rows / clientWidth));
  zoom();
  await listImages();
  return found.contours.length ? "Its label, as it was saved." : "No label yet.";
}

function start(outlines, from = outlines) {
  contours = outlines;
  [base, clicks, roi] = [from, [], null];
  draw();
}

const body = (id, number) => ({ id: crypto.randomUUID(), annotation: id, purpose: "tagging", value: number });
const freeNumber = () => {
  const taken = new Set(annotator.getAnnotations().map((one) => one.bodies[0]?.value));
  let number = 1;
  while (taken.has(number)) number += 1;
  return number;
};

function draw() {
  const shown = contours.filter((contour) => contour.frame === frame());
  annotator.setAnnotations(
    shown.map(({ label, points }) => {
      const id = crypto.randomUUID();
      const moved = points.map(([column, row]) => [column + 0.5, row + 0.5]);
      const [columns, rows] = [moved.map((point) => point[0]), moved.map((point) => point[1])];
      const bounds = {
        minX: Math.min(...columns), minY: Math.min(...rows), maxX: Math.max(...columns), maxY: Math.max(...rows),
      };
      const selector = { type: "POLYGON", geometry: { bounds, points: moved } };
      return { id, bodies: [body(id, label)], target: { annotation: id, selector } };
    }),
  );
  selected([]);
}

// by hand: from here on the clicks change what is drawn
function edited() {
  const drawn = annotator.getAnnotations().map((one) => ({
    label: one.bodies[0]?.value ?? 1,
    frame: frame(),
    points: one.target.selector.geometry.points.map(([x, y]) => [x - 0.5, y - 0.5]),
  }));
  contours = [...contours.filter((contour) => contour.frame !== frame()), ...drawn];
  [base, clicks, roi] = [contours, [], null];
  unsaved = true;
}

function selected(annotations) {
  const one = annotations[0];
  $("number").disabled = $("delete").disabled = !one;
  if (one) $("number").value = one.bodies[0]?.value ?? 1;
}

async function infer(model, params) {
  const form = new FormData();
  const sensitivity = $("sensitivity").value || undefined;
  form.append("params", JSON.stringify({ tolerance: TOLERANCE, sensitivity, ...params }));
  return ask(`/infer/${encodeURIComponent(model)}?${query(image.id)}&output=json`, "POST", form);
}

async function refine() {
  const params = { clicks, roi, ...(base && { contours: base }) };
  contours = (await infer(`${$("model").value}_clicks`, params)).contours;
  unsaved = true;
  draw();
}

// clicks and boxes go to a cover above the outlines
function useTool() {
  const tool = document.querySelector("input[name=tool]:checked").value;
  $("cover")?.remove();
  if (annotator?.getSelected().length) edited();
  annotator?.cancelSelected();
  annotator?.setDrawingEnabled(tool === "draw");
  if (!annotator || tool === "edit" || tool === "draw") return;
  const cover = document.createElement("div");
  cover.id = "cover";
  annotator.element.append(cover);
  let from = null;
  const rubber = document.createElement("div");
  rubber.id = "rubber";
  const at = (event) => {
    const { left, top, width, height } = cover.getBoundingClientRect();
    const place = (share, count) => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
    const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height];
    return { column: place(x, image.columns), row: place(y, image.rows), x: 100 * x, y: 100 * y };
  };
  cover.onpointerdown = (event) => {
    from = at(event);
    cover.setPointerCapture(event.pointerId);
    if (tool === "box") cover.append(rubber);
  };
  cover.onpointermove = (event) => {
    if (!from) return;
    const to = at(event);
    rubber.style.left = `${Math.min(from.x, to.x)}%`;
    rubber.style.top = `${Math.min(from.y, to.y)}%`;
    rubber.style.width = `${Math.abs(from.x - to.x)}%`;
    rubber.style.height = `${Math.abs(from.y - to.y)}%`;
  };
  cover.onpointerup = (event) => {
    if (!from) return;
    const [first, last] = [from, at(event)];
    from = null;
    rubber.remove();
    if (tool !== "box") {
      during("Changing the outlines ...", async () => {
        clicks.push([first.column, first.row, frame(), Number(tool === "lesion")]);
        await refine();
        return `${clicks.length} click${clicks.length > 1 ? "s" : ""}`;
      });
    } else {
      during("Filling the box ...", async () => {
        if (roi || clicks.length) [base, clicks] = [contours, []];
        const [left, right] = [first.column, last.column].sort((a, b) => a - b);
        const [top, bottom] = [first.row, last.row].sort((a, b) => a - b);
        roi = [left, right + 1, top, bottom + 1, frame()];
        await refine();
        return "Filled.";
      });
    }
  };
}

function zoom() {
  const picture = document.querySelector("#view img");
  if (picture) picture.style.width = `${($("view").clientWidth * $("zoom").value) / 100}px`;
}

// a training goes on while others label, and while the page is closed
async function follow() {
  $("train").disabled = true;
  $("stop").disabled = false;
  let note;
  do {
    note = await progress().catch((error) => ({ text: error.message }));
    $("training").textContent = note.text;
    if (note.running) await new Promise((wake) => setTimeout(wake, 1000));
  } while (note.running);
  $("train").disabled = false;
  $("stop").disabled = true;
}

async function progress() {
  const { status, request, details = [] } = await ask("/train/");
  if (status === "RUNNING" || status === "SUBMITTED") {
    const last = details.findLast((line) => line.startsWith("epoch ")) ?? "it starts";
    return { running: true, text: `Training of ${request.model}: ${last}` };
  }
  if (status !== "DONE") return { text: status === "STOPPED" ? "The training was stopped." : details.at(-1) };
  const { active, versions } = (await ask("/bus/models"))[request.model];
  const { version, dice, dice_before: before } = versions.at(-1);
  const scores = `Dice ${dice.toFixed(3)}, before ${before.toFixed(3)}`;
  return { text: `Version ${version} of ${request.model}: ${scores}. Version ${active} is active.` };
}

// the operating points of the chosen model
let models = {};
function offerPoints() {
  const points = models[$("model").value]?.config?.sensitivity ?? [];
  $("sensitivity").replaceChildren(...points.map((name) => new Option(name)));
  $("find").hidden = !points.length;
}

$("model").onchange = offerPoints;
$("infer").onclick = () =>
  during("The model looks ...", async () => {
    const found = await infer($("model").value, {});
    start(found.contours, null);
    unsaved = true;
    return `Version ${found.model_version} found ${Object.keys(found.label_names).length}.`;
  });
$("submit").onclick = () =>
  during("Saving ...", async () => {
    const { version } = await ask(`/bus/label?${query(image.id)}`, "PUT", { contours });
    unsaved = false;
    await listImages();
    return `Saved as version ${version} of the label of ${image.id}.`;
  });
$("next").onclick = () =>
  during("Choosing ...", async () => {
    const { id } = await ask(`/activelearning/${$("strategy").value}`, "POST", {});
    return id ? open(id) : "Every image that can be read is labeled.";
  });
$("train").onclick = () =>
  ask(`/train/${encodeURIComponent($("model").value)}`, "POST", {})
    .then(follow)
    .catch((error) => say(error.message, true));
$("stop").onclick = () => ask("/train/", "DELETE").catch((error) => say(error.message, true));
$("delete").onclick = () => {
  for (const one of annotator.getSelected()) annotator.removeAnnotation(one.id);
  edited();
};
$("number").onchange = () => {
  for (const one of annotator.getSelected()) {
    annotator.updateAnnotation({ ...one, bodies: [body(one.id, Number($("number").value))] });
  }
  edited();
};
$("undo").onclick = () =>
  during("Taking back ...", async () => {
    if (clicks.length || roi) {
      if (!clicks.pop()) roi = null;
      await refine();
    } else {
      annotator.undo();
      edited();
    }
  });
$("frame").oninput = async () => {
  $("at").textContent = `${frame() + 1} of ${image.frames}`;
  document.querySelector("#view img").src = `/bus/frame?${query(image.id)}&frame=${frame()}`;
  draw();
};
$("zoom").oninput = zoom;
$("tools").onchange = useTool;
window.onbeforeunload = (event) => {
  if (unsaved) event.preventDefault();
};

// the token is in a cookie now, and need not be seen
history.replaceState(null, "", location.pathname);
await during("Opening ...", async () => {
  const info = await ask("/info/");
  $("model").append(...Object.keys(info.trainers).map((name) => new Option(name)));
  models = info.models;
  offerPoints();
  $("strategy").append(...Object.keys(info.strategies).map((name) => new Option(name)));
  if ((await ask("/train/?check_if_running=true").catch(() => ({}))).status) follow();
  const images = await listImages();
  const first = images.find((one) => !one.labeled) ?? images[0];
  return first ? open(first.id) : "There are no images.";
});
