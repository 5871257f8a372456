/**
 * What the browser keeps: one entry a conversation, so that two windows don't overwrite each other's, and the settings.
 * Nothing leaves the browser but what is sent to the model.
 */

/** @typedef {import("./conversation.js").Conversation} Conversation */

const CONVERSATION = "textmill.conversation.";
const SETTINGS = "textmill.settings";

/** All conversations, the latest first. @returns {Conversation[]} */
export function conversations() {
  const names = Object.keys(localStorage).filter((name) => name.startsWith(CONVERSATION));
  return names.map((name) => read(name, null)).filter(Boolean).sort((one, other) => other.changed - one.changed);
}

/**
 * Keeps a conversation; where the browser's room is used up, without the tokens' probabilities.
 * @param {Conversation} conversation @returns {boolean} whether it is kept
 */
export function keep(conversation) {
  const lean = { ...conversation, messages: conversation.messages.map(({ tokens, ...message }) => message) };
  return write(CONVERSATION + conversation.id, conversation) || write(CONVERSATION + conversation.id, lean);
}

/** @param {Conversation} conversation */
export function forget(conversation) {
  localStorage.removeItem(CONVERSATION + conversation.id);
}

/** @returns {Record<string, any>} */
export function settings() {
  return read(SETTINGS, {});
}

/** @param {Record<string, any>} changes */
export function changeSettings(changes) {
  write(SETTINGS, { ...settings(), ...changes });
}

/** @param {string} name @param {any} otherwise  for an entry that is missing or broken */
function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "null") ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** @param {string} name @param {any} value */
function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
