// Copy buttons. Without this script, or without a clipboard, the style sheet shows none: values can still be selected.
"use strict";

if (navigator.clipboard) {
  document.documentElement.classList.add("can-copy");
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const word = button.querySelector(".copy-word");
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.dataset.state = "copied";
    } catch {
      said = "Not copied";
    }
    word.textContent = said;
    document.getElementById("announce").textContent = said;
    setTimeout(() => {
      word.textContent = "Copy";
      delete button.dataset.state;
      document.getElementById("announce").textContent = "";
    }, 2000);
  });
}
