for (const button of document.querySelectorAll("[data-copy]")) {
  const [ask, done] = button.querySelectorAll("[data-label]");
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    ask.hidden = true;
    done.hidden = false;
    setTimeout(() => { ask.hidden = false; done.hidden = true; }, 1500);
  });
}
