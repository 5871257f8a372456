/**
 * This server's API, as the page needs it: OpenAI's, by fetch, streams as server-sent events.
 */

let key = "";

/** The key that goes with every request from now on; "" for none. @param {string} given */
export function useKey(given) {
  key = given;
}

export class ApiError extends Error {
  /** @param {string} message @param {number} status @param {string|null} code */
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * The models that are served; see `Served` for what is told of them.
 * @returns {Promise<{id: string, serves: string[], context_length?: number, bytes_per_token?: number, memory_bytes_per_second?: number}[]>}
 */
export async function models() {
  return (await (await ask("v1/models", {})).json()).data;
}

/** Markdown as html that the server made safe. @param {string} text @returns {Promise<string>} */
export async function markdown(text) {
  return (await (await ask("page/markdown", post({ text }))).json()).html;
}

/**
 * A completion's chunks as they come. Ends at `[DONE]`; a stream that ends before is an error.
 * @param {string} url @param {object} body @param {AbortSignal} signal @returns {AsyncGenerator<any>}
 */
export async function* stream(url, body, signal) {
  const response = await ask(url, { ...post(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError("", 0, "stream_broke");
    const lines = (unread + value).split(/\r?\n/);
    unread = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(chunk.error.message, 0, chunk.error.code);
      yield chunk;
    }
  }
}

/** @param {object} body @returns {RequestInit} */
function post(body) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** @param {string} url @param {RequestInit} options @returns {Promise<Response>} */
async function ask(url, options) {
  let response;
  try {
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    response = await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", 0, "unreachable");
  }
  if (response.ok) return response;
  const error = (await response.json().catch(() => ({}))).error ?? {};
  throw new ApiError(error.message ?? `HTTP ${response.status}`, response.status, error.code ?? null);
}
