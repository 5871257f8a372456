/**
 * An answer token by token: each is coloured by its probability, and shows its likeliest rivals when pointed at or focused.
 * One token is in the tab order; the arrow keys move from there.
 *
 * @typedef {import("./conversation.js").Token} Token
 */
import { say } from "./language.js";

const popover = document.getElementById("alternatives");
const BOUNDS = [0.02, 0.1, 0.3, 0.7]; // between the five colours
/** @type {WeakMap<Element, Token>} */
const tokenOf = new WeakMap();

/** Adds tokens to the end of an element. @param {HTMLElement} element @param {Token[]} tokens */
export function appendTokens(element, tokens) {
  for (const token of tokens) {
    const span = document.createElement("span");
    span.className = `token p${BOUNDS.filter((bound) => token.probability >= bound).length}`;
    span.textContent = token.text;
    span.tabIndex = element.firstElementChild ? -1 : 0;
    tokenOf.set(span, token);
    element.append(span);
  }
}

/** @param {EventTarget|null} target */
function show(target) {
  const span = target instanceof Element ? target.closest(".token") : null;
  popover.hidden = !span;
  if (!span) return;
  const token = tokenOf.get(span);
  const heading = document.createElement("h3");
  heading.textContent = say("alternatives");
  const table = document.createElement("table");
  const others = [...token.others].sort((one, other) => other[1] - one[1]);
  if (!others.some(([text]) => text === token.text)) others.push([token.text, token.probability]);
  for (const [text, probability] of others) {
    const row = table.insertRow();
    row.className = text === token.text ? "taken" : "";
    row.insertCell().textContent = visible(text);
    row.insertCell().textContent = `${(probability * 100).toFixed(1)} %`;
    const bar = document.createElement("meter");
    bar.value = probability;
    row.insertCell().append(bar);
  }
  popover.replaceChildren(heading, table);
  const place = span.getClientRects()[0] ?? span.getBoundingClientRect();
  const { width, height } = popover.getBoundingClientRect();
  const below = place.bottom + height + 8 < innerHeight;
  popover.style.left = `${Math.max(8, Math.min(place.left, innerWidth - width - 8))}px`;
  popover.style.top = `${below ? place.bottom + 4 : Math.max(8, place.top - height - 4)}px`;
}

/** Spaces and line ends as signs that can be seen. @param {string} text */
function visible(text) {
  return text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥");
}

/** @param {KeyboardEvent} event */
function move(event) {
  const span = event.target instanceof Element ? event.target.closest(".token") : null;
  const next = { ArrowRight: span?.nextElementSibling, ArrowLeft: span?.previousElementSibling }[event.key];
  if (!(next instanceof HTMLElement)) return;
  event.preventDefault();
  next.focus();
}

document.addEventListener("pointerover", ({ target }) => show(target));
document.addEventListener("focusin", ({ target }) => show(target));
document.addEventListener("scroll", () => show(null), true);
document.addEventListener("keydown", move);
