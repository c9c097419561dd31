"""Run by test_swaps.py in a process of its own: what answers do to the focus and to what stands where."""

import json
import sys

from playwright.sync_api import sync_playwright

SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => { for (const each of list.getEntries()) window.shifts.push(each.value); })
  .observe({type: "layout-shift", buffered: true});"""
MOVED = "shifts.reduce((sum, each) => sum + each, 0)"
FOCUS = "document.activeElement.id || document.activeElement.getAttribute('href') || document.activeElement.textContent"
LOOK = """(parts) => {
  for (const part of parts) document.querySelector(part).before_look = true;
  document.body.dispatchEvent(new Event("look"));
}"""
LOOKED = "(parts) => parts.every((part) => document.querySelector(part) && !document.querySelector(part).before_look)"
PARTS = ["#figures", "#charts", "#recent"]


def look_again(page):
    page.evaluate("shifts.length = 0")
    page.evaluate(LOOK, PARTS)
    page.wait_for_function(LOOKED, arg=PARTS)
    page.wait_for_timeout(300)
    return page.evaluate(MOVED)


def looking(page, url):
    """The dashboard with its figures unfolded and read, and a row under the focus, looks again twice."""
    page.goto(f"{url}/dashboard")
    page.click("#charts details summary")
    page.evaluate("document.querySelector('#charts .scrolled').scrollTop = 90")
    told = {"held": [], "focus": [], "moved": []}
    for held in (page.locator("#recent tbody a").nth(3), page.locator("#charts a[download]").nth(1)):
        held.focus()
        told["held"].append(held.get_attribute("href"))
        told["moved"].append(look_again(page))
        told["focus"].append(page.evaluate(FOCUS))
    told["unfolded"] = page.evaluate("document.querySelector('#charts details').open")
    told["scrolled"] = page.evaluate("document.querySelector('#charts .scrolled').scrollTop")
    page.evaluate("""() => {
      getSelection().selectAllChildren(document.querySelector("#recent tbody td code"));
      document.querySelector("#recent").before_look = true;
      Object.defineProperty(document, "visibilityState", {value: "visible", configurable: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    page.wait_for_timeout(500)
    told["left while selected"] = page.evaluate("Boolean(document.querySelector('#recent').before_look)")
    return told


def pressing(page, url):
    """Where the focus is after an answer took the place of what was pressed, and how far anything moved."""
    told = {}
    for name, path, wanted, done in (
        ("a pool switched", "/pools/1", "#switch button", "#switch [data-state=disabled]"),
        ("the next keys of /stat", "/stat", "#stat-keys .paging a", "#stat-51"),
        ("the next keys", "/keys?size=25", "#keys .paging a", "#key-26"),
        ("a test", "/keys?size=25", "#test-2", "#key-2 [data-check]"),
    ):
        page.goto(url + path)
        page.locator(wanted).focus()
        page.evaluate("shifts.length = 0")
        page.keyboard.press("Enter")
        page.wait_for_selector(done)
        page.wait_for_timeout(300)
        told[name] = [page.evaluate(FOCUS), page.evaluate(MOVED)]
    return told


STEP = """([done, total]) => {
  const job = document.getElementById("job") ?? document.createElement("div");
  document.getElementById("keys").append(job);
  job.id = "job";
  job.innerHTML = `<progress max="${total}" value="${done}" aria-label="Test keys"></progress>
    <span>${done} / ${total}</span>`;
  job.dispatchEvent(new CustomEvent("htmx:afterSwap", {detail: {target: job}, bubbles: true}));
  return document.querySelector("#said").textContent;
}"""


def progress(page, url):
    """What is said of a job that goes on, step by step."""
    page.goto(f"{url}/keys")
    return [page.evaluate(STEP, [done, 100]) for done in (10, 24, 26, 30, 49, 80, 90)]


def main(chromium, url, password):
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(SHIFTS)
        page.set_default_timeout(10_000)
        page.goto(f"{url}/dashboard")
        page.fill("input[type=password]", password)
        page.press("input[type=password]", "Enter")
        page.wait_for_url(f"{url}/dashboard")
        told = {"looking": looking(page, url), "pressing": pressing(page, url), "said": progress(page, url)}
        browser.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
