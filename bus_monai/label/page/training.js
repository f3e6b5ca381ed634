// A training on the labels: its settings, how far it is, and what came of it. It goes on while others label.
import { $, ask, choose, make } from "./common.js";
import { name } from "./save.js";

const SETTINGS = {
  max_epochs: "Epochs at most", lr: "Learning rate",
  g_lr: "Learning rate of the generator", d_lr: "Learning rate of the discriminator",
};

export async function train(model, settings) {
  const inputs = Object.entries(settings).map(([name, value]) => {
    const input = make("input", { type: "number", step: "any", min: 0, required: true, name, value });
    return make("label", {}, SETTINGS[name] ?? name, input);
  });
  const ends = make("p", { textContent: "It stops by itself when nothing improves." });
  const answer = await choose(`Train ${model}`, make("div", {}, ...inputs, ends), { train: "Train", back: "Back" });
  if (answer !== "train") return;
  const chosen = $("dialog").querySelectorAll("input");
  const wanted = Object.fromEntries([...chosen].map((input) => [input.name, Number(input.value)]));
  await ask(`/train/${encodeURIComponent(model)}`, "POST", wanted);
  follow();
}

export async function follow() {
  $("train").disabled = true;
  $("stop").disabled = false;
  const panel = document.querySelector("aside");
  let follows = true; // the end of the panel stays in sight, until somebody scrolls
  let note;
  do {
    note = await progress().catch((error) => ({ text: error.message }));
    $("training").textContent = note.text;
    $("trained").hidden = !note.running;
    const [epoch, epochs] = note.done ?? [];
    $("trained").max = epochs ?? 1;
    if (epoch) $("trained").value = epoch;
    else $("trained").removeAttribute("value"); // it moves until there is something to show
    if (follows) panel.scrollTop = panel.scrollHeight;
    if (note.running) await new Promise((wake) => setTimeout(wake, 500));
    follows = panel.scrollTop + panel.clientHeight > panel.scrollHeight - 2;
  } while (note.running);
  $("train").disabled = false;
  $("stop").disabled = true;
}

export async function stop() {
  // a training that was only just asked for cannot be stopped yet
  while (!$("stop").disabled && !(await ask("/train/", "DELETE"))) await new Promise((wake) => setTimeout(wake, 200));
}

// Choose which version serves; where the gate advised against it, only when asked again.
export async function chooseVersion(model) {
  const { active, versions, activations } = (await ask("/bus/models"))[model];
  const verdicts = new Map([[0, `Version 0 is ${model} as it came.`], ...versions.map((one) => [one.version, one.verdict])]);
  const last = activations.at(-1);
  const rows = [...verdicts].map(([version, verdict]) => {
    const input = make("input", { type: "radio", name: "version", value: version, checked: version === active });
    const since = last && version === active
      ? ` Activated by ${last.by ?? "the gate"}${last.ts ? `, ${new Date(1000 * last.ts).toLocaleString()}` : ""}.` : "";
    const state = version === active ? ` It serves now.${since}` : "";
    return make("label", {}, input, make("span", { textContent: verdict + state }));
  });
  const answers = { activate: "Activate", back: "Back" };
  if (await choose(`Versions of ${model}`, make("div", { id: "versions" }, ...rows), answers) !== "activate") return "";
  const chosen = Number($("dialog").querySelector(":checked").value);
  if (chosen === active) return `Version ${chosen} of ${model} is active as it was.`;
  if (versions.find((one) => one.version === chosen)?.activated === false) {
    const title = `The gate advised against version ${chosen}`;
    const sure = await choose(title, verdicts.get(chosen), { back: "Back", activate: "Activate it all the same" });
    if (sure !== "activate") return "Nothing was changed.";
  }
  await ask(`/bus/models/${encodeURIComponent(model)}/activate/${chosen}`, "POST", { annotator: name() });
  return `Version ${chosen} of ${model} is active now.`;
}

async function progress() {
  const { status, request, details = [] } = await ask("/train/");
  if (status === "RUNNING" || status === "SUBMITTED") {
    const last = details.findLast((line) => line.startsWith("epoch ")) ?? "it starts";
    const settings = Object.entries(SETTINGS).filter(([name]) => name in request);
    const words = settings.map(([name, title]) => `${title.toLowerCase()} ${request[name]}`).join(", ");
    const text = `Training of ${request.model}${words && ` (${words})`}: ${last}`;
    return { running: true, text, done: last.match(/^epoch (\d+) of (\d+)/)?.slice(1).map(Number) };
  }
  if (status !== "DONE") return { text: status === "STOPPED" ? "The training was stopped." : details.at(-1) };
  // on how many images it was compared with which version, and the interval
  const { versions } = (await ask("/bus/models"))[request.model];
  return { text: versions.at(-1).verdict };
}
