// What script adds to pages that work without it: copying, `/` for the search field, hiding a shown secret again,
// counting down.
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
    if (button.dataset.said) return;
    const before = [...button.childNodes];
    button.dataset.said = "yes";
    button.textContent = button.dataset.done;
    setTimeout(() => { button.replaceChildren(...before); delete button.dataset.said; }, 1500);
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

// A secret on the screen is in every screenshot: after a minute its mask takes its place.
function forgetSecrets(root) {
  for (const box of root.querySelectorAll("[data-fleeting]:not([data-forgetting])")) {
    box.dataset.forgetting = "yes";
    setTimeout(() => {
      const secret = box.querySelector("[data-secret]").textContent;
      for (const source of box.querySelectorAll("[data-copy-source]")) {
        source.textContent = source.textContent.replaceAll(secret, box.dataset.fleeting);
      }
    }, 60_000);
  }
}

function enhance() {
  shownButtons(document);
  forgetSecrets(document);
}

document.addEventListener("htmx:afterSwap", enhance);
document.addEventListener("htmx:after:swap", enhance);
enhance();

function countDown() {
  for (const time of document.querySelectorAll("[data-countdown]")) {
    const left = Math.max(0, Math.round((Date.parse(time.dateTime) - Date.now()) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    time.textContent = `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
  }
}
setInterval(countDown, 1000);
