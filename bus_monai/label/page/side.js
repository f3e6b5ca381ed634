// Beside the image: the lesions of the frame with their measures, and the fields of the case.
import { $, ask, colorOf, make, query } from "./common.js";

const SOON_MS = 150;
let timer = 0;
let asked = 0;

// Show the lesions of a frame; their measures come from the server, as in its reports.
export function listLesions(image, frame, contours, chosen, choose) {
  const numbers = [...new Set(contours.map((contour) => contour.label))].sort((a, b) => a - b);
  $("lesions").replaceChildren(
    ...numbers.map((number) => {
      const button = make("button", { textContent: `Lesion ${number}`, onclick: () => choose(number) });
      button.style.borderColor = colorOf(number);
      button.ariaPressed = String(number === chosen);
      return make("tr", { id: `lesion-${number}` }, make("td", {}, button), make("td", {}), make("td", {}));
    }),
  );
  $("none").hidden = numbers.length > 0;
  clearTimeout(timer);
  asked += 1;
  if (numbers.length) timer = setTimeout(() => measure(image, frame, contours, asked), SOON_MS);
}

async function measure(image, frame, contours, turn) {
  const address = `/bus/measures?${query({ image: image.id, frame })}`;
  const measures = await ask(address, "POST", { contours }).catch(() => []);
  if (turn !== asked) return; // others are shown by now
  for (const { label, area, long_axis: long, short_axis: short, unit } of measures) {
    const [, axes, size] = $(`lesion-${label}`).children;
    const digits = unit === "mm" ? 1 : 0;
    axes.textContent = `${long.toFixed(digits)} × ${short.toFixed(digits)} ${unit}`;
    size.textContent = `${area.toFixed(0)} ${unit}²`;
  }
}

// The length from one place to another, in mm where the image is calibrated there.
export function length(image, from, to) {
  const [right, down] = [to[0] - from[0], to[1] - from[1]];
  const spacing = spacingAt(image, from, to);
  return spacing ? `${Math.hypot(down * spacing[0], right * spacing[1]).toFixed(1)} mm`
    : `${Math.hypot(down, right).toFixed(0)} px`;
}

function spacingAt({ spacing_mm, regions }, from, to) {
  if (!regions.length) return spacing_mm;
  const inside = ({ box: [top, left, bottom, right] }) =>
    [from, to].every(([column, row]) => left <= column && column < right && top <= row && row < bottom);
  return regions.find(inside)?.spacing_mm ?? null;
}

// A form for the fields [{name, title, values}]; `changed` is told of {name: value}.
export function makeFields(fields, changed) {
  $("case").hidden = fields.length === 0;
  $("fields").replaceChildren(
    ...fields.map(({ name, title, values }) => {
      const input = values
        ? make("select", {}, new Option("", ""), ...values.map((value) => new Option(value)))
        : make("input", { type: "text", maxLength: 1000 });
      input.name = name;
      input.onchange = () => changed(Object.fromEntries([...new FormData($("fields"))].filter(([, value]) => value)));
      return make("label", {}, title, input);
    }),
  );
  $("fields").onsubmit = (event) => event.preventDefault();
}

export function showFields(values) {
  for (const input of $("fields").elements) input.value = values[input.name] ?? "";
}
