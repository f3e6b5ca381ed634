// What all parts of the page use: elements, the server, the line of status, and questions.
export const $ = (id) => document.getElementById(id);
export const COLORS = ["#00d5ff", "#ff9f1c", "#7dff6b", "#ff5fa2", "#c59bff", "#ffe14d"];
export const colorOf = (number) => COLORS[(number - 1) % COLORS.length];
export const TOLERANCE = 0.9; // pixels; outlines of every corner of a pixel cannot be edited by hand

export class Refused extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

const RESTARTED = "The server was started anew: open the address that it printed in another tab, and go on here.";

export async function ask(url, method = "GET", body = undefined) {
  const form = body instanceof FormData;
  const headers = body && !form ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(url, { method, headers, body: body && !form ? JSON.stringify(body) : body }).catch(() => {
    throw new Refused(0, "The server does not answer.");
  });
  const content = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Refused(401, RESTARTED);
  if (!answer.ok) throw new Refused(answer.status, content.detail ?? `The server answers ${answer.status}.`);
  return content;
}

// the query of an address
export const query = (parts) => new URLSearchParams(parts).toString();

export function say(text, error = false) {
  $("status").textContent = text;
  $("status").className = error ? "error" : "";
}

// one thing after the other, each with its error in words
let turn = Promise.resolve();
export function during(text, work) {
  turn = turn.then(async () => {
    say(text);
    try {
      say((await work()) ?? "");
    } catch (error) {
      say(error.message, true);
    }
  });
  return turn;
}

export function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

// Ask in a dialog; answers are {value: words}, the first is that of Enter. Escape gives null.
export async function choose(title, content, answers) {
  const dialog = $("dialog");
  const buttons = Object.entries(answers).map(([value, words]) =>
    make("button", { value, textContent: words, formNoValidate: value === "back" }));
  const body = typeof content === "string" ? make("p", { textContent: content }) : content;
  const form = make("form", { method: "dialog" }, body, make("menu", {}, ...buttons));
  dialog.replaceChildren(make("h2", { id: "dialog-title", textContent: title }), form);
  dialog.returnValue = "";
  // nothing is done while it asks
  const doing = $("status").textContent;
  if (doing.endsWith("...")) say("");
  dialog.showModal();
  (form.querySelector("input:checked") ?? form.querySelector("input"))?.focus();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  if (doing.endsWith("...")) say(doing);
  return dialog.returnValue || null;
}

// what this browser remembers of its user
export const remembered = (name, otherwise) => localStorage.getItem(`bus-monai.${name}`) ?? otherwise;
export const remember = (name, value) => localStorage.setItem(`bus-monai.${name}`, value);
