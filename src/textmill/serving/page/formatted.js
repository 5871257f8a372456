/**
 * An answer as formatted text, also while it grows: the server makes html of its Markdown, one request at a time and not too
 * often, and what came since then stands behind it as it is. Only blocks that differ are replaced, so that nothing flickers.
 *
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {{text: string, html: string}} Made  the html of the first part of a message's text
 */
import { markdown } from "./api.js";

const PAUSE = 300; // milliseconds between two requests of one answer
const BLOCKS = "p,ul,ol,li,pre,pre > code,blockquote,h1,h2,h3,h4,h5,h6"; // in a table's cell a new row would stretch it
const NOTHING = { text: "", html: "" };
/** @type {WeakMap<Message, Made>} */
const made = new WeakMap();
/** What stands in a place. @type {WeakMap<HTMLElement, Made>} */
const shown = new WeakMap();
/** The place of a message: the latest one, since a page that is drawn anew has new ones. @type {WeakMap<Message, HTMLElement>} */
const places = new WeakMap();
/** Messages that are being made, or can't be: their text stands there as it is. @type {WeakSet<Message>} */
const busy = new WeakSet();

/** Shows a message's text as it is now. @param {HTMLElement} place @param {Message} message */
export function showFormatted(place, message) {
  places.set(message, place);
  put(place, message);
  if (!busy.has(message) && (made.get(message) ?? NOTHING).text !== settled(message)) void make(message);
}

/** @param {Message} message */
async function make(message) {
  busy.add(message);
  for (let text = settled(message); (made.get(message) ?? NOTHING).text !== text; text = settled(message)) {
    try {
      made.set(message, { text, html: await markdown(text) });
    } catch {
      return;
    }
    put(places.get(message), message);
    if (!message.ended) await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  busy.delete(message);
}

/** Markdown leaves spaces at the end out: they wait for what follows. @param {Message} message */
function settled(message) {
  return message.text.trimEnd();
}

/** @param {HTMLElement} place @param {Message} message */
function put(place, message) {
  const known = made.get(message) ?? NOTHING;
  let tail = place.querySelector(":scope .tail");
  if (shown.get(place) !== known) {
    tail?.remove();
    replace(place, known.html);
    place.classList.toggle("formatted", Boolean(known.html));
    shown.set(place, known);
    tail = null;
  }
  const rest = message.text.slice(known.text.length);
  if (!tail && (rest || !message.ended)) {
    tail = document.createElement("span");
    tail.className = "tail";
    end(place).append(tail);
  }
  // Behind a table, say, where the text stands in a block of its own, line ends would be an empty line more.
  if (tail) tail.textContent = known.html && tail.parentElement === place ? rest.replace(/^\n+/, "") : rest;
}

/** Makes a place hold this html, and leaves the blocks at its beginning alone that do already. @param {HTMLElement} place @param {string} html */
function replace(place, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  let same = 0;
  const [old, wanted] = [[...place.childNodes], [...fresh.content.childNodes]];
  while (same < old.length && same < wanted.length && old[same].isEqualNode(wanted[same])) same++;
  for (const node of old.slice(same)) node.remove();
  place.append(...wanted.slice(same));
}

/** The last of the innermost blocks, where the text goes on. @param {HTMLElement} place */
function end(place) {
  let block = place;
  while (block.lastElementChild?.matches(BLOCKS) && !block.lastElementChild.nextSibling?.textContent.trim()) {
    block = /** @type {HTMLElement} */ (block.lastElementChild);
  }
  const last = block.lastChild;
  if (block.matches("pre code") && last instanceof Text) last.data = last.data.replace(/\n$/, ""); // the tail has its own
  return block;
}
