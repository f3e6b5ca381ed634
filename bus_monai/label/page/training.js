// A training on the labels: its settings, how far it is, and what came of it. It goes on while others label.
import { $, ask, choose, make, say } from "./common.js";

export async function train(model, settings) {
  const inputs = Object.entries(settings).map(([name, value]) =>
    make("label", {}, name.replace(/lr$/, "learning rate").replaceAll("_", " "), make("input", { type: "number", step: "any", name, value })),
  );
  const answer = await choose(`Train ${model}`, make("div", {}, ...inputs), { train: "Train", back: "Back" });
  if (answer !== "train") return;
  const chosen = $("dialog").querySelectorAll("input");
  const wanted = Object.fromEntries([...chosen].map((input) => [input.name, Number(input.value)]));
  await ask(`/train/${encodeURIComponent(model)}`, "POST", wanted);
  follow();
}

export async function follow() {
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

export const stop = () => ask("/train/", "DELETE").catch((error) => say(error.message, true));

async function progress() {
  const { status, request, details = [] } = await ask("/train/");
  if (status === "RUNNING" || status === "SUBMITTED") {
    const last = details.findLast((line) => line.startsWith("epoch ")) ?? "it starts";
    return { running: true, text: `Training of ${request.model}: ${last}` };
  }
  if (status !== "DONE") return { text: status === "STOPPED" ? "The training was stopped." : details.at(-1) };
  // on how many images it was compared with which version, and the interval
  const { versions } = (await ask("/bus/models"))[request.model];
  return { text: versions.at(-1).verdict };
}
