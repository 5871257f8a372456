/**
 * One message on the page: its text, what can be done with it, its versions, how fast it came. A model's text gets in as text;
 * html only as the server made it safe.
 *
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {{again: (message: Message) => void, edit: (message: Message, text: string) => void,
 *   choose: (message: Message) => void, branch: ((message: Message, place: number, token: string) => void)|null}} Actions
 * @typedef {{busy: boolean, coloured: boolean, unanswered: boolean}} State  busy: an answer is being written, so that nothing
 *   can be changed; unanswered: a question that nothing follows
 */
import { showFormatted } from "./formatted.js";
import { say } from "./language.js";
import { figures } from "./figures.js";
import { appendTokens } from "./token_view.js";

/**
 * @param {Message} message @param {Message[]} versions @param {State} state @param {Actions} actions
 */
export function messageView(message, versions, { busy, coloured, unanswered }, actions) {
  const element = document.createElement("article");
  element.className = message.role;
  element.setAttribute("aria-label", message.role === "user" ? say("you") : say("answer_of", { model: message.model ?? "" }));
  const text = document.createElement("div");
  text.className = "text";
  const bar = document.createElement("div");
  bar.className = "bar";
  element.append(text, bar);
  drawText(text, message, coloured, busy ? null : actions.branch);
  if (!busy) drawBar(bar, element, message, versions, actions);
  if (!busy && unanswered) bar.append(button(say("again"), () => actions.again(message)));
  return element;
}

/** More of an answer that is being written. @param {HTMLElement} element  of messageView @param {Message} message @param {string} text @param {any[]} tokens @param {boolean} coloured */
export function appendText(element, message, text, tokens, coloured) {
  const place = /** @type {HTMLElement} */ (element.querySelector(".text"));
  if (coloured && message.tokens.length) appendTokens(place, tokens, null);
  else if (message.plain) place.append(text);
  else showFormatted(place, message);
}

/**
 * @param {HTMLElement} place @param {Message} message @param {boolean} coloured
 * @param {Actions["branch"]} branch  where the answer can be gone on with from any of its tokens
 */
function drawText(place, message, coloured, branch) {
  if (coloured && message.tokens?.length) {
    appendTokens(place, message.tokens, branch && ((index, token) => branch(message, index, token)));
    return;
  }
  if (message.role === "user" || message.plain) place.textContent = message.text;
  else showFormatted(place, message);
}

/** @param {HTMLElement} bar @param {HTMLElement} element @param {Message} message @param {Message[]} versions @param {Actions} actions */
function drawBar(bar, element, message, versions, actions) {
  if (versions.length > 1) {
    const place = versions.indexOf(message);
    const count = document.createElement("span");
    count.textContent = say("version", { number: place + 1, count: versions.length });
    const back = button("‹", () => actions.choose(versions[place - 1]), say("previous"));
    const forth = button("›", () => actions.choose(versions[place + 1]), say("next"));
    back.disabled = place === 0;
    forth.disabled = place === versions.length - 1;
    bar.append(back, count, forth);
  }
  const copy = button(say("copy"), async () => {
    const copied = await navigator.clipboard.writeText(message.text).then(() => true, () => false);
    if (copied) copy.textContent = say("copied");
  });
  if (navigator.clipboard) bar.append(copy); // missing where the page comes by plain http from another machine
  if (message.role === "user") bar.append(button(say("edit"), () => edit(element, message, actions)));
  else bar.append(button(say("again"), () => actions.again(message)), ...figures(message));
}

/** Turns a question into a field. @param {HTMLElement} element @param {Message} message @param {Actions} actions */
function edit(element, message, actions) {
  const field = document.createElement("textarea");
  field.value = message.text;
  field.setAttribute("aria-label", say("edit_message"));
  field.rows = Math.min(12, message.text.split("\n").length + 1);
  const send = () => field.value.trim() && actions.edit(message, field.value);
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.append(button(say("save"), send), button(say("cancel"), () => actions.choose(message)));
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") actions.choose(message);
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  element.classList.add("editing");
  element.replaceChildren(field, bar);
  field.focus();
}

/** @param {string} text @param {() => void} action @param {string} [label] */
function button(text, action, label) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = text;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}
