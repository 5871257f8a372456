/**
 * A conversation: a tree of messages. An edited question or a second answer is a sibling of the first, so nothing is lost;
 * `chosen` says which child is followed, and so which path is shown.
 *
 * @typedef {{text: string, probability: number, others: [string, number][]}} Token  one token and its likeliest rivals
 * @typedef {{id: string, parent: string, role: "user"|"assistant", text: string, tokens?: Token[], model?: string,
 *   plain?: boolean, count?: number, total?: number, seconds?: number, ended?: string}} Message
 * @typedef {{id: string, changed: number, system: string, messages: Message[], chosen: Record<string, string>}} Conversation
 */

export const ROOT = "root";

/** @param {string} system @returns {Conversation} */
export function newConversation(system) {
  return { id: newName(), changed: Date.now(), system, messages: [], chosen: {} };
}

/** The messages that are shown, first to last. @param {Conversation} conversation @returns {Message[]} */
export function path(conversation) {
  const shown = [];
  for (let parent = ROOT; ;) {
    const next = conversation.messages.find((message) => message.id === conversation.chosen[parent]);
    if (!next || shown.includes(next)) return shown;
    shown.push(next);
    parent = next.id;
  }
}

/**
 * A new message below `parent`, which is shown from now on.
 * @param {Conversation} conversation @param {string} parent @param {"user"|"assistant"} role @param {string} text
 * @returns {Message}
 */
export function add(conversation, parent, role, text) {
  /** @type {Message} */
  const message = { id: newName(), parent, role, text };
  conversation.messages.push(message);
  choose(conversation, message);
  return message;
}

/** A message and its siblings, oldest first. @param {Conversation} conversation @param {Message} message */
export function versions(conversation, message) {
  return conversation.messages.filter((other) => other.parent === message.parent);
}

/** @param {Conversation} conversation @param {Message} message */
export function choose(conversation, message) {
  conversation.chosen[message.parent] = message.id;
  conversation.changed = Date.now();
}

/** What stands before a message on its path, first to last. @param {Conversation} conversation @param {Message} message */
export function before(conversation, message) {
  const shown = path(conversation);
  return shown.slice(0, shown.indexOf(message));
}

/** The first words of the first question; "" where nothing was said. @param {Conversation} conversation */
export function title(conversation) {
  const first = path(conversation)[0];
  return first ? first.text.trim().replace(/\s+/g, " ").slice(0, 80) : "";
}

/** A random name; `crypto.randomUUID` is missing where the page comes by plain http from another machine. */
function newName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
