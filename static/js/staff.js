// Admin: buttons that copy a text, and names for choices that search.
// Without this script the texts are there to select.
"use strict";

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.textContent;
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

// Select2 gives an empty choice no name that a screen reader finds.
function nameChoices() {
  for (const shown of document.querySelectorAll(".select2-selection__rendered")) {
    const select = shown.closest(".select2-container")?.previousElementSibling;
    const name = select?.labels?.[0]?.textContent.trim();
    if (name) shown.setAttribute("aria-label", name);
  }
}

new MutationObserver(nameChoices).observe(document.body, { childList: true, subtree: true });
nameChoices();
