/**
 * The dialog of settings: the conversation's system prompt, how tokens are drawn, the language, the appearance. An empty field
 * isn't sent, so that the server's own value holds.
 */
import { firstLanguage, speak } from "./language.js";
import { changeSettings, settings } from "./store.js";

const SAMPLING = ["temperature", "top_p", "max_tokens", "seed"];
const dialog = /** @type {HTMLDialogElement} */ (document.getElementById("settings"));
/** @param {string} name @returns {any} */
const field = (name) => document.getElementById(name);

/** What is set of the sampling. @returns {Record<string, number>} */
export function sampling() {
  const kept = settings();
  return Object.fromEntries(SAMPLING.filter((name) => Number.isFinite(kept[name])).map((name) => [name, kept[name]]));
}

/**
 * Fills the dialog from what is kept and listens to it.
 * @param {() => string} system  the conversation's system prompt now
 * @param {(system: string) => void} changeSystem
 * @param {() => void} languageChanged  whatever was drawn is drawn again
 */
export async function startSettings(system, changeSystem, languageChanged) {
  const kept = settings();
  const language = firstLanguage(kept.language);
  field("language").value = language;
  field("theme").value = kept.theme ?? "";
  field("language").addEventListener("change", async ({ target }) => {
    changeSettings({ language: target.value });
    await speak(target.value);
    languageChanged();
  });
  field("theme").addEventListener("change", ({ target }) => {
    changeSettings({ theme: target.value });
    document.documentElement.dataset.theme = target.value;
  });
  document.documentElement.dataset.theme = kept.theme ?? "";
  for (const name of SAMPLING) {
    field(name).value = kept[name] ?? "";
    field(name).addEventListener("change", ({ target }) => {
      if (target.reportValidity()) changeSettings({ [name]: target.value === "" ? undefined : target.valueAsNumber });
    });
  }
  field("system").addEventListener("input", ({ target }) => changeSystem(target.value));
  field("open_settings").addEventListener("click", () => {
    field("system").value = system();
    dialog.showModal();
  });
  field("done").addEventListener("click", () => {
    if (SAMPLING.every((name) => field(name).reportValidity())) dialog.close();
  });
  dialog.addEventListener("close", () => {
    for (const name of SAMPLING) field(name).value = settings()[name] ?? ""; // what wasn't valid was never taken
  });
  await speak(language);
}
