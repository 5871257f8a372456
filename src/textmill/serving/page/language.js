/**
 * The page's words, in the language of the browser or the one that was chosen. An element names its words by `data-word`
 * (its text), `data-label` (its accessible name and tooltip) or `data-placeholder`.
 */

export const LANGUAGES = ["en", "zh"];
/** @type {Record<string, string>} */
let words = {};

/** The language to begin with. @param {string|undefined} chosen */
export function firstLanguage(chosen) {
  if (chosen && LANGUAGES.includes(chosen)) return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** Loads a language's words and writes them into the document. @param {string} language */
export async function speak(language) {
  const response = await fetch(`page/${language}.json`);
  words = await response.json();
  document.documentElement.lang = language;
  translate(document.body);
}

/** @param {string} name @param {Record<string, string|number>} [values]  what stands for `{name}` */
export function say(name, values = {}) {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));
}

/** Writes the words of an element and of all within it. @param {HTMLElement} root */
export function translate(root) {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("[data-word],[data-label],[data-placeholder]"))) {
    const { word, label, placeholder } = element.dataset;
    if (word) element.textContent = say(word);
    if (placeholder) element.setAttribute("placeholder", say(placeholder));
    if (label) {
      element.setAttribute("aria-label", say(label));
      element.title = say(label);
    }
  }
}
