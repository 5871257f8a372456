/**
 * The list of conversations: open one, begin one, delete one. On a narrow window it slides over the chat.
 *
 * @typedef {import("./conversation.js").Conversation} Conversation
 */
import { title } from "./conversation.js";
import { say } from "./language.js";
import { conversations } from "./store.js";

const list = document.getElementById("conversations");
const menu = document.getElementById("menu");
const shade = document.getElementById("shade");

/**
 * @param {string} current  the id of the open conversation
 * @param {(conversation: Conversation) => void} open @param {(conversation: Conversation) => void} remove
 */
export function drawSidebar(current, open, remove) {
  list.replaceChildren(
    ...conversations().map((conversation) => {
      const name = title(conversation) || say("untitled");
      const item = document.createElement("li");
      const opener = button(name, "", () => open(conversation));
      if (conversation.id === current) opener.setAttribute("aria-current", "true");
      const remover = button("×", `${say("delete")}: ${name}`, () => confirm(say("delete_sure", { title: name })) && remove(conversation));
      item.append(opener, remover);
      return item;
    }),
  );
}

/** @param {boolean} shown  on a narrow window */
export function showSidebar(shown) {
  document.body.classList.toggle("sidebar", shown);
  shade.hidden = !shown;
  menu.setAttribute("aria-expanded", String(shown));
}

menu.addEventListener("click", () => showSidebar(!document.body.classList.contains("sidebar")));
shade.addEventListener("click", () => showSidebar(false));

/** @param {string} text @param {string} label @param {() => void} action */
function button(text, label, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", action);
  return made;
}
