// What script adds to pages that work without it: copying, keys for the search field and for rows, hiding a shown secret
// again, counting down, ticking pages, closing menus, keeping the focus, telling what went wrong, looking again.
"use strict";

const LOOKS = ["look", "soon", "newday"];

function shownButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy][hidden]")) button.hidden = false;
}

// In every place there is for it: what a dialog covers is not read out.
function say(text) {
  for (const said of document.querySelectorAll("[data-say]")) said.textContent = text;
}

async function copy(button) {
  const source = button.closest(".copyable, .snippet, .whole").querySelector("[data-copy-source]");
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    source.select?.();  // not allowed: it is there to be copied by hand
    return;
  }
  say(button.dataset.done);
  if (button.dataset.said) return;
  const before = [...button.childNodes];
  button.dataset.said = "yes";
  button.textContent = button.dataset.done;
  setTimeout(() => { button.replaceChildren(...before); delete button.dataset.said; }, 1500);
}

function copyAtOnce(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("[data-copy-now]")) {
    button.removeAttribute("data-copy-now");
    button.focus();
    copy(button);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  const dialog = event.target.closest("dialog");
  if (dialog && (event.target === dialog || event.target.closest("[data-close]"))) {
    event.preventDefault();
    dialog.close();
  }
  for (const menu of openMenus()) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("focusout", ({ target, relatedTarget }) => {
  const menu = target.closest("details.menu[open]");
  if (menu && relatedTarget && !menu.contains(relatedTarget)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of openMenus()) {
      const inside = menu.contains(document.activeElement);
      menu.open = false;
      if (inside) menu.querySelector("summary").focus();
    }
  }
  if (event.key !== "/" || event.target.closest("input, textarea, select, dialog")) return;
  const search = document.querySelector("[data-search]");
  if (search) { event.preventDefault(); search.focus(); search.select(); }
});

// Rows by keyboard: j and k go from one to the next, x ticks it, ? tells of all this.
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("textarea, select, dialog, input:not([type=checkbox])");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "?") document.getElementById("keyboard")?.showModal();
  if (!["j", "k", "x"].includes(event.key)) return;
  const all = ticks();
  const at = all.indexOf(document.activeElement.closest("tr")?.querySelector('input[name="key"]'));
  if (event.key === "x") all[at]?.click();
  else all[event.key === "j" ? Math.min(at + 1, all.length - 1) : Math.max(at - 1, 0)]?.focus();
});

// What was asked for in the middle of a long page is answered there. The browser gives the focus back by itself.
function openDialogs() {
  for (const dialog of document.querySelectorAll("dialog:not([open])")) {
    if (dialog.querySelector("form")) dialog.showModal();
  }
}

document.addEventListener("close", ({ target }) => {
  const copying = target.querySelector("#copying");
  if (!copying) return;
  const empty = document.createElement("div");  // a secret is not left behind in the page
  empty.id = copying.id;
  copying.replaceWith(empty);
}, true);

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

// Ticking: a page at once, from one to another with Shift, and how many there are.
const ticks = () => [...document.querySelectorAll('#keys input[name="key"]')];
let lastTick;

function countTicks() {
  const all = ticks();
  const ticked = all.filter((tick) => tick.checked).length;
  const every = document.getElementById("every");
  for (const said of document.querySelectorAll("[data-ticked]")) {
    said.textContent = said.dataset.ticked.replace("{n}", every?.checked ? every.dataset.every : ticked);
  }
  for (const head of document.querySelectorAll("[data-tick-all]")) {
    head.hidden = head.closest("label, th").hidden = false;
    head.checked = ticked > 0 && ticked === all.length;
    head.indeterminate = ticked > 0 && ticked < all.length;
  }
  for (const none of document.querySelectorAll("[data-tick-none]")) none.hidden = !ticked && !every?.checked;
}

function tickAll(checked) {
  for (const tick of ticks()) tick.checked = checked;
  const every = document.getElementById("every");
  if (every && !checked) every.checked = false;
  countTicks();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-tick-none]")) {
    tickAll(false);
    document.getElementById("keys").focus({ preventScroll: true });
  }
  if (event.target.name !== "key" || event.target.type !== "checkbox") return;
  if (event.shiftKey && lastTick?.isConnected) {
    const all = ticks();
    const [from, to] = [all.indexOf(lastTick), all.indexOf(event.target)].sort((a, b) => a - b);
    for (const tick of all.slice(from, to + 1)) tick.checked = event.target.checked;
  }
  lastTick = event.target;
});

// An import of nothing is not offered. Rows beyond those shown are taken as they are.
function countTakes() {
  const button = document.querySelector("[data-take-none]");
  if (!button) return;
  const { takeMore, takeNone, takeOne, takeMany } = button.dataset;
  const taken = document.querySelectorAll('[name="take"]:checked').length + Number(takeMore);
  button.disabled = !taken;
  button.textContent = !taken ? takeNone : taken === 1 ? takeOne : takeMany.replace("{n}", new Intl.NumberFormat(document.documentElement.lang).format(taken));
}

document.addEventListener("change", (event) => {
  if (event.target.name === "take") countTakes();
  if (event.target.matches("[data-tick-all]")) tickAll(event.target.checked);
  else if (event.target.name === "key" || event.target.id === "every") countTicks();
});

// Whoever pressed a button that is gone with the answer goes on beside it, not at the top of the page.
const askers = new WeakMap();  // by request: what looks again does so while others are under way
const HANDLES = "a[href], button, summary, input, select, textarea, [tabindex='0']";

document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (!detail.elt.contains(document.activeElement)) return;
  askers.set(detail.xhr, { target: detail.target.id, menu: detail.elt.closest(".bulk .menu") });
});

document.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (!askers.has(detail.xhr)) return;
  const { target, menu } = askers.get(detail.xhr);
  askers.delete(detail.xhr);
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
  if (document.activeElement !== document.body) return;
  const place = document.getElementById(target);
  const next = place?.matches("tr") ? place.querySelector('[id^="switch-"], [id^="test-"]') : place;
  next?.focus({ preventScroll: true });
  if (document.activeElement === document.body) place?.querySelector(HANDLES)?.focus({ preventScroll: true });
});

// What looks again by itself takes nothing out of anybody's hands: what is unfolded stays so, and the focus where it is.
const inHand = new Map();
const looked = (detail) => LOOKS.includes(detail.requestConfig?.triggeringEvent?.type);

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (!looked(detail)) return;
  const { target } = detail;
  const held = target.contains(document.activeElement) ? document.activeElement : undefined;
  inHand.set(target.id, {
    open: [...target.querySelectorAll("details[open][id]")].map(({ id }) => id),
    scrolled: [...target.querySelectorAll(".scrolled")].map(({ scrollTop }) => scrollTop),
    held: held && !held.id && { href: held.getAttribute("href"), at: [...target.querySelectorAll(HANDLES)].indexOf(held) },
  });
});

document.addEventListener("htmx:afterSwap", ({ detail }) => {
  const { id } = detail.target;
  const place = document.getElementById(id);
  const known = inHand.get(id);
  inHand.delete(id);
  if (!known || !place) return;
  for (const each of known.open) document.getElementById(each)?.setAttribute("open", "");
  place.querySelectorAll(".scrolled").forEach((each, at) => { each.scrollTop = known.scrolled[at] ?? 0; });
  if (!known.held) return;
  const handles = [...place.querySelectorAll(HANDLES)];
  const same = known.held.href && handles.find((each) => each.getAttribute("href") === known.held.href);
  (same || handles[known.held.at])?.focus({ preventScroll: true });
});

// An answer that changes nothing on the page says so: htmx itself is silent about it.
function flashOf(text) {
  const flash = document.createElement("div");
  const told = document.createElement("p");
  flash.className = "flash";
  told.className = "told";
  told.textContent = text;
  flash.append(told);
  return flash;
}

function tellTrouble(kind) {
  const texts = document.getElementById("flash")?.dataset;
  if (!texts) return;
  const place = document.querySelector("dialog[open] .flashes") ?? document.getElementById("flash");
  const flash = flashOf(texts[kind]);
  flash.dataset.trouble = kind;
  place.replaceChildren(flash);
  addDismissal(place);
}

function addDismissal(root) {
  const text = document.getElementById("flash")?.dataset.dismiss;
  if (!text) return;
  for (const flash of root.querySelectorAll(".flash:not(:has([data-dismissal]))")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.dataset.dismissal = "";
    button.textContent = "×";
    button.setAttribute("aria-label", text);
    button.title = text;
    flash.append(button);
  }
}

document.addEventListener("click", ({ target }) => {
  if (!target.matches("[data-dismissal]")) return;
  const place = target.closest("dialog") ?? document.getElementById("keys") ?? document.getElementById("content");
  target.closest(".flash").remove();
  place.focus({ preventScroll: true });
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  // A refused form comes back as a fragment. A whole page is an error's, and would stand within this one.
  if (detail.xhr.status >= 400 && /^\s*<!doctype/i.test(detail.xhr.responseText)) {
    detail.shouldSwap = false;
    detail.isError = true;
  }
});
document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  tellTrouble(xhr.status === 404 ? "gone" : xhr.status >= 500 ? "broken" : "refused");
});
document.addEventListener("htmx:sendError", () => tellTrouble("unreachable"));
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!detail.successful) return;
  for (const flash of document.querySelectorAll("[data-trouble]")) flash.remove();
});

// Pages that show what happens look again, while somebody looks at them and is not about to copy from them.
function look() {
  if (document.visibilityState === "visible" && getSelection().isCollapsed) document.body.dispatchEvent(new Event("look"));
}
setInterval(look, 15_000);
// What runs is looked at more often than what is over.
setInterval(() => {
  if (document.visibilityState !== "visible" || !document.querySelector('[hx-trigger="soon from:body"]')) return;
  document.body.dispatchEvent(new Event("soon"));
}, 2_000);

// How far it is, by quarters: every step would be too much to listen to.
let quarters = 0;

function sayProgress(progress) {
  const now = progress ? Math.floor(4 * progress.position) : 0;
  if (now > quarters) say(`${progress.getAttribute("aria-label")}: ${progress.nextElementSibling.textContent}`);
  quarters = now;
}

// What somebody waited for is over: said once, when it came to an end before their eyes.
document.addEventListener("htmx:afterSwap", ({ detail }) => {
  const job = detail.target.id === "job" ? document.getElementById("job") : null;
  if (job?.dataset.over) say(job.dataset.over);
  else if (job) sayProgress(job.querySelector("progress"));
});
document.addEventListener("visibilitychange", look);

// Moments in the visitor's own zone. Where they were said in UTC stays in their title.
const KINDS = { clock: { timeStyle: "short" }, date: { dateStyle: "medium" } };

function localTimes() {
  const said = (kind) => new Intl.DateTimeFormat(document.documentElement.lang, KINDS[kind] ?? { dateStyle: "medium", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[title]:not([data-local])")) {
    const { moment } = time.dataset;
    const at = new Date(time.dateTime);
    time.dataset.local = "";
    if (moment) time.textContent = said(moment).format(at);
    else time.title = `${said().format(at)} · ${time.title}`;
  }
}

// A list of boxes is searched as one types; what is ticked stays ticked, and is sent where it is not shown, too.
document.addEventListener("input", ({ target }) => {
  if (!target.matches("[data-sieve]")) return;
  const wanted = target.value.trim().toLowerCase();
  for (const row of target.closest("fieldset").querySelectorAll("[data-sieved]")) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches?.("[data-sieve]")) event.preventDefault();
});

function enhance() {
  localTimes();
  for (const sieve of document.querySelectorAll("[data-sieve][hidden]")) sieve.hidden = false;
  openDialogs();
  shownButtons(document);
  addDismissal(document);
  copyAtOnce(document);
  countTicks();
  forgetSecrets(document);
}

window.addEventListener("pageshow", countTakes);
document.addEventListener("htmx:afterSwap", enhance);
document.addEventListener("htmx:after:swap", enhance);
enhance();

// When the day of the quotas is over, so are its figures. The server's clock may be a little behind.
let askedAt = 0;

function countDown() {
  for (const time of document.querySelectorAll("[data-countdown]")) {
    const left = Math.max(0, Math.round((Date.parse(time.dateTime) - Date.now()) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    time.textContent = `${Math.floor(left / 3600)}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    if (!left && document.visibilityState === "visible" && Date.now() - askedAt >= 5_000) {
      askedAt = Date.now();
      document.body.dispatchEvent(new Event("newday"));
    }
  }
}
setInterval(countDown, 1000);
