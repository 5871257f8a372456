/**
 * What is told below an answer: how long it is, how fast it came beside what this machine could do at best, why it ended, and
 * how full the model's context is.
 *
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {{id: string, serves?: string[], context_length?: number, bytes_per_token?: number, memory_bytes_per_second?: number}} Model
 */
import { say } from "./language.js";
import { meter } from "./meter.js";

/** @type {Map<string, Model>} */
const known = new Map();

/** What the server tells of its models. @param {Model[]} models */
export function tellModels(models) {
  for (const model of models) known.set(model.id, model);
}

/** @param {Message} message  an answer @returns {HTMLElement[]} */
export function figures(message) {
  const element = document.createElement("span");
  element.className = "figures";
  const { count, ended } = message;
  const parts = count ? [say("tokens", { count }), ...speed(message, element)] : [];
  if (["length", "stopped", "error"].includes(ended)) parts.push(say(`ended_${ended}`));
  element.textContent = parts.join(" · ");
  return [element, ...context(message)];
}

/** Tokens per second, beside the limit where it is known. @param {Message} message @param {HTMLElement} element  gets the explanation */
function speed({ count, seconds, model }, element) {
  if (!(count > 1 && seconds > 0)) return [];
  const reached = (count - 1) / seconds;
  const { bytes_per_token: bytes, memory_bytes_per_second: bandwidth } = known.get(model) ?? { id: model };
  if (!bytes || !bandwidth) return [say("speed", { speed: reached.toFixed(1) })];
  const limit = bandwidth / bytes;
  const [megabytes, gigabytes] = [(bytes / 1e6).toFixed(0), (bandwidth / 1e9).toFixed(1)];
  element.title = say("speed_hint", { megabytes, gigabytes, limit: limit.toFixed(1) });
  return [say("speed_of_limit", { speed: reached.toFixed(1), share: ((100 * reached) / limit).toFixed(0) })];
}

/** @param {Message} message */
function context({ total: used, model }) {
  const limit = known.get(model)?.context_length;
  if (!used || !limit) return [];
  const element = document.createElement("span");
  element.className = "context";
  element.title = say("context_hint");
  const grouped = (/** @type {number} */ number) => number.toLocaleString(document.documentElement.lang);
  element.append(meter(used, limit), say("context", { used: grouped(used), limit: grouped(limit) }));
  return [element];
}
