// Every command has keys: this is the table that they are pressed by, that buttons name them by, and that `?` shows.
import { choose, make } from "./common.js";

const TABLE = {
  Image: {
    outline: ["O", "Outline: what the model finds"],
    save: ["S", "Save the label"],
    next: ["N", "Next image, as the strategy chooses"],
    "image-after": ["PageDown", "Image below in the list"],
    "image-before": ["PageUp", "Image above in the list"],
    undo: ["Ctrl+Z", "Undo"],
    redo: ["Ctrl+Shift+Z", "Redo", "Ctrl+Y"],
  },
  Tools: {
    edit: ["V", "Edit: choose, move, drag corners; a double click removes one"],
    draw: ["D", "Draw: click from corner to corner, or drag"],
    brush: ["B", "Brush"],
    erase: ["E", "Erase"],
    add: ["A", "Add: a click grows a lesion, or fixes one"],
    remove: ["R", "Remove: a click removes a lesion, or a part"],
    box: ["X", "Box: drag around one lesion"],
    ruler: ["M", "Ruler: drag to measure"],
    pan: ["G", "Pan; also Shift or the middle button with any tool"],
    window: ["W", "Brightness up and down, contrast left and right; also the right button"],
  },
  Lesions: {
    close: ["Enter", "Close the outline that is drawn"],
    cancel: ["Escape", "Give up what is drawn, choose nothing"],
    delete: ["Delete", "Delete the chosen outline, or the last corner", "Backspace"],
    lesion: ["1", "Draw lesion 1 to 9", "2", "3", "4", "5", "6", "7", "8", "9"],
    "new-lesion": ["0", "Draw a new lesion"],
    smaller: ["[", "Smaller brush"],
    larger: ["]", "Larger brush"],
  },
  View: {
    "zoom-in": ["+", "Zoom in; also the wheel", "="],
    "zoom-out": ["-", "Zoom out"],
    fit: ["F", "Fit the image"],
    preset: ["P", "Next preset of brightness and contrast"],
    hide: ["H", "Hide the outlines while held"],
    fill: ["C", "Fill of the outlines: more, none, less"],
    theme: ["T", "Dark or light"],
    help: ["?", "This list"],
  },
  Cine: {
    play: [" ", "Play, and stop"],
    "frame-after": ["ArrowRight", "Next frame", "."],
    "frame-before": ["ArrowLeft", "Frame before", ","],
    "ten-after": ["Shift+ArrowRight", "Ten frames on"],
    "ten-before": ["Shift+ArrowLeft", "Ten frames back"],
    "first-frame": ["Home", "First frame"],
    "last-frame": ["End", "Last frame"],
    interpolate: ["I", "Fill the frames between those that are outlined"],
  },
};
export const COMMANDS = Object.assign({}, ...Object.values(TABLE));
const BY_KEY = new Map(
  Object.entries(COMMANDS).flatMap(([name, [key, , ...others]]) => [key, ...others].map((one) => [one, name])),
);
const WORDS = { " ": "Space", ArrowRight: "→", ArrowLeft: "←" };
const words = (key) => key.replace(/ |Arrow(Right|Left)/, (part) => WORDS[part]);

function pressed(event) {
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || event.ctrlKey || event.metaKey) ? "Shift+" : "";
  return (event.ctrlKey || event.metaKey ? "Ctrl+" : "") + shift + key;
}

const TYPES = ["text", "number", "search"];
const writes = (element) =>
  element.matches("textarea, select") || (element.matches("input") && TYPES.includes(element.type));

// Let keys and the elements with `data-command` run commands, {name: (key) => ...}; `released` when a key goes up.
export function bind(commands, released) {
  for (const element of document.querySelectorAll("[data-command]")) {
    const [key, title] = COMMANDS[element.dataset.command];
    element.title = `${title} (${words(key)})`;
    element.ariaKeyShortcuts = key === " " ? "Space" : key.replace("Ctrl", "Control");
    if (element.tagName === "BUTTON") element.addEventListener("click", () => commands[element.dataset.command]());
    else element.addEventListener("change", () => commands[element.dataset.command]());
  }
  window.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || writes(event.target) || event.altKey) return;
    // a button in focus is pressed by these
    if ([" ", "Enter"].includes(event.key) && event.target.matches("button, input")) return;
    const name = BY_KEY.get(pressed(event));
    if (!name) return;
    event.preventDefault();
    if (!event.repeat || !["outline", "save", "next", "play", "hide"].includes(name)) commands[name](event.key);
  });
  window.addEventListener("keyup", (event) => released(BY_KEY.get(pressed(event))));
  window.addEventListener("blur", () => released("hide"));
}

export function showKeys() {
  const tables = Object.entries(TABLE).map(([part, commands]) => {
    const rows = Object.values(commands).map(([key, title, ...others]) => {
      const keys = [key, ...others].flatMap((one) => [make("kbd", { textContent: words(one) }), " "]);
      return make("tr", {}, make("td", {}, ...keys), make("td", { textContent: title }));
    });
    return make("table", {}, make("caption", { textContent: part }), make("tbody", {}, ...rows));
  });
  return choose("Keys", make("div", { id: "keys" }, ...tables), { close: "Close" });
}
