/**
 * One answer from the model, as it is written: by chat, or, where the model has no chat template, as a text that goes on.
 * Where the history ends with an answer, the model goes on with it.
 *
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {import("./conversation.js").Token} Token
 * @typedef {{text: string, tokens: Token[], ended?: string, count?: number, total?: number, plain: boolean}} Part
 */
import { ApiError, stream } from "./api.js";

const ALTERNATIVES = 5;
/** The models that were found to have no chat template. @type {Set<string>} */
const plainModels = new Set();

/** Whether a model is known to go on from a text only. @param {string} model */
export function isPlain(model) {
  return plainModels.has(model);
}

/**
 * @param {string} model @param {string} system  the system prompt; a running text has none
 * @param {Message[]} history @param {Record<string, number>} sampling @param {AbortSignal} signal
 * @returns {AsyncGenerator<Part>}
 */
export async function* answer(model, system, history, sampling, signal) {
  const decoder = new TextDecoder();
  const shared = { model, ...sampling, stream: true, stream_options: { include_usage: true } };
  if (!isPlain(model)) {
    const messages = history.map(({ role, text }) => ({ role, content: text }));
    if (system) messages.unshift({ role: "system", content: system });
    try {
      const body = { ...shared, messages, logprobs: true, top_logprobs: ALTERNATIVES };
      if (history[history.length - 1].role === "assistant") body.continue_final_message = true;
      for await (const chunk of stream("v1/chat/completions", body, signal)) yield part(chunk, false, decoder);
      return;
    } catch (error) {
      if (!(error instanceof ApiError && error.code === "no_chat_template")) throw error;
      plainModels.add(model);
    }
  }
  const prompt = history.map(({ text }) => text).join("");
  const chunks = stream("v1/completions", { ...shared, prompt, logprobs: ALTERNATIVES }, signal);
  for await (const chunk of chunks) yield part(chunk, true, decoder);
}

/**
 * @param {any} chunk  of a stream of either kind @param {boolean} plain
 * @param {TextDecoder} decoder  puts together the characters that several tokens hold in parts @returns {Part}
 */
function part(chunk, plain, decoder) {
  const choice = chunk.choices[0] ?? {};
  return {
    text: (plain ? choice.text : choice.delta?.content) ?? "",
    tokens: plain ? completionTokens(choice.logprobs, choice.text) : chatTokens(choice.logprobs, decoder),
    ended: choice.finish_reason ?? undefined,
    count: chunk.usage?.completion_tokens,
    total: chunk.usage?.total_tokens,
    plain,
  };
}

/** @param {any} logprobs @param {TextDecoder} decoder @returns {Token[]} */
function chatTokens(logprobs, decoder) {
  return (logprobs?.content ?? []).map(({ token, bytes, logprob, top_logprobs: top }) => ({
    text: bytes ? decoder.decode(new Uint8Array(bytes), { stream: true }) : token,
    probability: rounded(logprob),
    others: (top ?? []).map((other) => [other.token, rounded(other.logprob)]),
  }));
}

/**
 * A token alone in its chunk has the chunk's text, which holds whole characters: a token may be a part of one, and no bytes are
 * told here. @param {any} logprobs @param {string} written @returns {Token[]}
 */
function completionTokens(logprobs, written) {
  return (logprobs?.tokens ?? []).map((name, index, { length }) => ({
    text: length === 1 ? written : whole(name),
    probability: rounded(logprobs.token_logprobs[index]),
    others: Object.entries(logprobs.top_logprobs?.[index] ?? {})
      .filter(([other]) => !/^token_id:\d+$/.test(other)) // the same text as another's
      .map(([other, logprob]) => [whole(other), rounded(logprob)]),
  }));
}

/** What can be shown of a token; one that is a part of a character is named by its bytes. @param {string} name */
function whole(name) {
  return /^bytes:(\\x[0-9a-f]{2})+$/.test(name) ? "\ufffd" : name;
}

/** A probability with four digits after the point: the browser's room is small. @param {number} logprob */
function rounded(logprob) {
  return Math.round(Math.exp(logprob) * 1e4) / 1e4;
}
