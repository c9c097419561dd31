// What script adds to pages that work without it: copying, `/` for the search field, hiding a shown secret again.
"use strict";

function shownButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    const source = button.closest(".copyable, .snippet").querySelector("[data-copy-source]");
    await navigator.clipboard.writeText(source.textContent);
    const before = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = before; }, 1500);
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
  }
  if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
  const search = document.querySelector("[data-search]");
  if (search) { event.preventDefault(); search.focus(); search.select(); }
});

document.addEventListener("DOMContentLoaded", () => shownButtons(document));
document.addEventListener("htmx:afterSwap", () => shownButtons(document));
shownButtons(document);
