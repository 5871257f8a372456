/**
 * The page as a whole: which conversation is open, which answer is being written, and what the buttons and keys do.
 *
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {import("./conversation.js").Conversation} Conversation
 * @typedef {import("./conversation.js").Token} Token
 */
import { answer, isPlain } from "./answers.js";
import { ApiError, models, useKey } from "./api.js";
import { ROOT, add, before, choose, newConversation, path, versions } from "./conversation.js";
import { tellModels } from "./figures.js";
import { say, translate } from "./language.js";
import { appendText, messageView } from "./message_view.js";
import { sampling, startSettings } from "./settings.js";
import { drawSidebar, showSidebar } from "./sidebar.js";
import { changeSettings, conversations, forget, keep, settings } from "./store.js";

/** @param {string} name @returns {any} */
const part = (name) => document.getElementById(name);
const [thread, scroller, message, model, notice] = ["thread", "scroller", "message", "model", "notice"].map(part);

let conversation = conversations()[0] ?? newConversation("");
/** Stops the answer that is being written. @type {AbortController|null} */
let writing = null;
let coloured = Boolean(settings().coloured);
/** Whether the end of the thread stays in sight as it grows. */
let following = true;

function draw() {
  const actions = { again, edit, choose: follow, branch };
  const state = { busy: Boolean(writing), coloured };
  const shown = path(conversation);
  thread.replaceChildren(
    ...shown.map((each) => {
      const unanswered = each.role === "user" && each === shown[shown.length - 1];
      const own = { ...actions, branch: canBranch(each) ? branch : null };
      return messageView(each, versions(conversation, each), { ...state, unanswered }, own);
    }),
  );
  if (!shown.length) thread.append(welcome());
  thread.setAttribute("aria-busy", String(Boolean(writing)));
  part("send").hidden = Boolean(writing);
  part("send").disabled = !model.value;
  part("stop").hidden = !writing;
  part("probabilities").setAttribute("aria-pressed", String(coloured));
  part("probabilities").title = say("probabilities_hint");
  const plain = isPlain(model.value);
  part("plain").hidden = !plain;
  message.dataset.placeholder = plain ? "plain_placeholder" : "placeholder";
  translate(part("composer"));
  drawSidebar(conversation.id, open, remove);
}

function welcome() {
  const element = document.createElement("div");
  element.id = "welcome";
  element.innerHTML = "<h1></h1><p></p>";
  element.querySelector("h1").textContent = say("empty_title");
  element.querySelector("p").textContent = say("empty_text");
  return element;
}

/** @param {string} text  "" hides it */
function tell(text) {
  notice.textContent = text;
  notice.hidden = !text;
  if (text) notice.scrollIntoView({ block: "end" });
}

/** @param {Error} error */
function tellError(error) {
  const named = error instanceof ApiError && ["stream_broke", "unreachable"].includes(error.code);
  tell(named ? say(error.code) : error.message);
  if (error instanceof ApiError && error.status === 401) askForKey();
}

/** Shows the field for the key, which a server has that more than one machine can reach. */
function askForKey() {
  tell(say("needs_key"));
  part("key_field").hidden = false;
  part("open_settings").click();
  part("key").focus();
}

function save() {
  if (!keep(conversation)) tell(say("not_kept"));
}

/**
 * Lets the model answer below a message.
 * @param {string} parent @param {Message[]} history
 * @param {Token[]} start  the tokens that the answer begins with
 */
async function write(parent, history, start = []) {
  tell("");
  const own = conversation; // the one that it belongs to, whatever is opened meanwhile
  const reply = add(own, parent, "assistant", textOf(start));
  Object.assign(reply, { model: model.value, tokens: [...start], count: 0, plain: isPlain(model.value) });
  const given = start.length ? [...history, { ...reply }] : history;
  const stop = (writing = new AbortController());
  draw();
  toEnd();
  let first = 0;
  let failure = null;
  try {
    for await (const next of answer(reply.model, own.system, given, sampling(), stop.signal)) {
      if (next.text && !first) first = performance.now();
      reply.plain = next.plain;
      reply.text += next.text;
      reply.tokens.push(...next.tokens);
      reply.count = next.count ?? Math.max(reply.count, reply.tokens.length - start.length);
      if (next.text) reply.seconds = (performance.now() - first) / 1000;
      reply.total = next.total ?? reply.total;
      reply.ended = next.ended ?? reply.ended;
      if (own === conversation) appendText(thread.lastElementChild, reply, next.text, next.tokens, coloured);
    }
    reply.ended ??= "stop";
  } catch (error) {
    reply.ended = stop.signal.aborted ? "stopped" : "error";
    if (!stop.signal.aborted) failure = error;
    if (reply.tokens.length === start.length && reply.text === textOf(start)) withdraw(own, reply);
  }
  writing = null;
  const wanted = own === conversation || conversations().some(({ id }) => id === own.id); // not deleted meanwhile
  if (wanted && !keep(own)) tell(say("not_kept"));
  draw();
  if (failure) tellError(failure);
  message.focus();
}

/** Takes away an answer of which nothing came. @param {Conversation} own @param {Message} reply */
function withdraw(own, reply) {
  own.messages.splice(own.messages.indexOf(reply), 1);
  const others = versions(own, reply);
  if (others.length) choose(own, others[others.length - 1]);
  else delete own.chosen[reply.parent];
}

/** Asks what stands in the field; without text, lets the last question be answered or a running text go on. */
function send() {
  if (writing || !model.value) return;
  const shown = path(conversation);
  let last = shown[shown.length - 1];
  if (message.value.trim()) {
    last = add(conversation, last?.id ?? ROOT, "user", message.value);
    message.value = "";
    grow();
    save();
  } else if (!last || (last.role === "assistant" && !(last.plain && last.model === model.value))) return;
  void write(last.id, path(conversation));
}

/** Another answer, or one to a question that has none. @param {Message} each */
function again(each) {
  if (writing || !model.value) return;
  const history = before(conversation, each);
  if (each.role === "user") void write(each.id, [...history, each]);
  else void write(each.parent, history);
}

/**
 * Goes on with an answer from another token than the model's, as a new version. @param {Message} reply
 * @param {number} place  of the token that is replaced @param {string} text  of the token that takes its place
 */
function branch(reply, place, text) {
  const kept = reply.tokens.slice(0, place);
  const { others } = reply.tokens[place];
  if (writing) return;
  const probability = others.find(([other]) => other === text)[1];
  void write(reply.parent, before(conversation, reply), [...kept, { text, probability, others }]);
}

/** Whether an answer can be gone on with from any of its tokens: they spell it, and the model is its own. @param {Message} each */
function canBranch({ text, tokens, model: writer }) {
  return Boolean(tokens && writer === model.value && text.startsWith(textOf(tokens.slice(0, -1))));
}

/** @param {Token[]} tokens */
function textOf(tokens) {
  return tokens.map(({ text }) => text).join("");
}

/** @param {Message} question @param {string} text */
function edit(question, text) {
  if (writing || !model.value) return;
  const version = add(conversation, question.parent, "user", text);
  void write(version.id, path(conversation));
}

/** @param {Message} version */
function follow(version) {
  choose(conversation, version);
  save();
  draw();
}

/** @param {Conversation} other */
function open(other) {
  writing?.abort();
  conversation = other;
  tell("");
  showSidebar(false);
  draw();
  toEnd();
}

/** @param {Conversation} other */
function remove(other) {
  if (other.id === conversation.id) writing?.abort();
  forget(other);
  if (other.id === conversation.id) open(newConversation(conversation.system));
  else draw();
}

function toEnd() {
  scroller.scrollTop = scroller.scrollHeight;
}

/** The field is as high as its text. */
function grow() {
  message.style.height = "auto";
  message.style.height = `${message.scrollHeight}px`;
}

async function listModels() {
  try {
    const found = (await models()).filter(({ serves }) => serves.includes("/v1/completions"));
    const names = found.map(({ id }) => id);
    tellModels(found);
    model.replaceChildren(...names.map((name) => new Option(name, name)));
    if (names.includes(settings().model)) model.value = settings().model;
    tell(names.length ? "" : say("no_models"));
    draw();
  } catch (error) {
    tellError(error);
  }
}

// Who reads the end goes on to read it, also where html takes the place of text; who has scrolled up stays there.
scroller.addEventListener("scroll", () => {
  following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
});
new ResizeObserver(() => following && toEnd()).observe(thread);
message.addEventListener("input", grow);
message.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // an input method's Enter takes its word
  event.preventDefault();
  send();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  writing?.abort();
  showSidebar(false);
});
part("send").addEventListener("click", send);
part("stop").addEventListener("click", () => writing?.abort());
part("new").addEventListener("click", () => {
  open(newConversation(conversation.system));
  message.focus();
});
part("probabilities").addEventListener("click", () => {
  coloured = !coloured;
  changeSettings({ coloured });
  draw();
});
part("key").addEventListener("change", ({ target }) => {
  changeSettings({ key: target.value.trim() });
  useKey(target.value.trim());
  void listModels();
});
model.addEventListener("change", () => {
  changeSettings({ model: model.value });
  draw();
});

await startSettings(
  () => conversation.system,
  (system) => {
    conversation.system = system;
    if (conversation.messages.length) save();
  },
  draw,
);
useKey(settings().key ?? "");
part("key_field").hidden = !settings().key;
part("key").value = settings().key ?? "";
draw();
await listModels();
toEnd();
message.focus();
