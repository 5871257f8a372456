/**
 * An answer token by token: each is coloured by its probability, and shows its likeliest rivals when pointed at or focused.
 * One token is in the tab order; the arrow keys move from there. Where the text can be gone on with from another token, a click
 * or Enter holds the rivals, each a button.
 *
 * @typedef {import("./conversation.js").Token} Token
 * @typedef {((place: number, token: string) => void)|null} Branch
 */
import { say } from "./language.js";
import { meter } from "./meter.js";

const popover = document.getElementById("alternatives");
const BOUNDS = [0.02, 0.1, 0.3, 0.7]; // between the five colours
/** @type {WeakMap<Element, {token: Token, branch: Branch}>} */
const known = new WeakMap();
/** The token whose rivals are held. @type {HTMLElement|null} */
let held = null;

/** Adds tokens to the end of an element. @param {HTMLElement} element @param {Token[]} tokens @param {Branch} branch */
export function appendTokens(element, tokens, branch) {
  for (const token of tokens) {
    const span = document.createElement("span");
    span.className = `token p${BOUNDS.filter((bound) => token.probability >= bound).length}`;
    span.textContent = token.text;
    span.tabIndex = element.firstElementChild ? -1 : 0;
    known.set(span, { token, branch });
    element.append(span);
  }
}

/** @param {EventTarget|null} target @returns {HTMLElement|null} */
function tokenAt(target) {
  return target instanceof Element ? target.closest(".token") : null;
}

/** @param {HTMLElement|null} span  null: nothing is shown */
function show(span) {
  popover.hidden = !span;
  if (!span) return;
  const { token, branch } = known.get(span);
  const heading = document.createElement("h3");
  heading.textContent = say("alternatives");
  const table = document.createElement("table");
  const others = [...token.others].sort((one, other) => other[1] - one[1]);
  if (!others.some(([text]) => text === token.text)) others.push([token.text, token.probability]);
  for (const [text, probability] of others) {
    const row = table.insertRow();
    row.className = text === token.text ? "taken" : "";
    const cell = row.insertCell();
    if (held === span && text !== token.text && text && !text.includes("\ufffd")) {
      const place = [...span.parentElement.children].indexOf(span);
      cell.append(button(visible(text), () => branch(place, text)));
    } else cell.textContent = visible(text);
    row.insertCell().textContent = `${(probability * 100).toFixed(1)} %`;
    row.insertCell().append(meter(probability, 1));
  }
  popover.replaceChildren(heading, table);
  const place = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const { width, height } = popover.getBoundingClientRect();
  const below = place.bottom + height + 8 < innerHeight;
  popover.style.left = `${Math.max(8, Math.min(place.left, innerWidth - width - 8))}px`;
  popover.style.top = `${below ? place.bottom + 4 : Math.max(8, place.top - height - 4)}px`;
}

/** Spaces and line ends as signs that can be seen; a special token, which has no text, in words. @param {string} text */
function visible(text) {
  if (text === "") return say("no_text");
  const signs = text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
  return signs.replace(/[\0-\x1f]/g, (sign) => String.fromCodePoint(0x2400 + sign.codePointAt(0)));
}

/** @param {KeyboardEvent} event */
function move(event) {
  const span = tokenAt(event.target);
  if (event.key === "Enter" && span) hold(span);
  if (event.key === "Escape" && held) {
    held.focus();
    hold(null);
  }
  const next = { ArrowRight: span?.nextElementSibling, ArrowLeft: span?.previousElementSibling }[event.key];
  if (!(next instanceof HTMLElement)) return;
  event.preventDefault();
  next.focus();
}

/** Holds a token's rivals, to be chosen from, or lets go. @param {HTMLElement|null} span */
function hold(span) {
  held = span && known.get(span).branch ? span : null;
  show(span);
  if (held) popover.querySelector("button")?.focus();
}

/** @param {string} text @param {() => void} action */
function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.title = say("branch");
  made.addEventListener("click", () => {
    hold(null);
    action();
  });
  return made;
}

document.addEventListener("pointerover", ({ target }) => held || show(tokenAt(target)));
document.addEventListener("focusin", ({ target }) => held || show(tokenAt(target)));
document.addEventListener("click", ({ target }) => popover.contains(/** @type {Node} */ (target)) || hold(tokenAt(target)));
document.addEventListener("scroll", () => hold(null), true);
document.addEventListener("keydown", move);
