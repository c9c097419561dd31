"""Run by test_pages.py in a process of its own (Playwright and gevent do not share one). Prints what it saw as JSON."""

import json
import sys

from playwright.sync_api import sync_playwright

PAGES = ("/dashboard", "/keys", "/keys?state=cooling", "/pools", "/pools/new", "/pools/1", "/keys/import", "/clients")
WIDTHS = (320, 360, 768, 1000, 1280, 1600)
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
NARROW = {"width": 360, "height": 740}


def watch(page, seen):
    """Note what a page complains about. A refused form (403, 422) is an answer, not a complaint."""
    page.set_default_timeout(10_000)
    page.on("console", lambda said: seen.append(said.text) if said.type == "error" and " 4" not in said.text else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: seen.append(f"dialog: {dialog.message}"))


def sign_in(page, url, password):
    page.goto(f"{url}/keys")
    page.fill("input[type=password]", password)
    page.press("input[type=password]", "Enter")
    page.wait_for_url(f"{url}/keys")


def work(page, url, password, hostile, tag):
    """An operator's first minutes: paste keys, disable one, show the auth key."""
    page.goto(f"{url}/keys/import")
    lines = [f"AIza{tag}{n:04d}" + "b" * 29 + f"\t{hostile}\tann@example.com" for n in range(30)]
    page.fill("textarea", "\n".join(lines))
    page.click("form#import button")
    page.click("text=Import 30 keys")
    page.goto(f"{url}/keys?q=AIza{tag}")
    page.click("tbody tr:first-child summary")
    page.click("tbody tr:first-child button[value=hour]")
    page.wait_for_selector("tbody tr:first-child [data-state=disabled]")
    page.goto(f"{url}/pools/1")
    page.click("text=Show and copy")
    page.fill("#auth input[type=password]", password)
    page.click("#auth button.primary")
    page.wait_for_selector("[data-secret]")
    return page.inner_text("[data-secret]")


def main(chromium, url, password, hostile):
    seen, wide, shown = [], [], {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for script in (True, False):
            page = browser.new_context(java_script_enabled=script).new_page()
            watch(page, seen)
            sign_in(page, url, password)
            shown["with script" if script else "without"] = work(page, url, password, hostile, "Js" if script else "No")
        context = browser.new_context()
        page = context.new_page()
        watch(page, seen)
        sign_in(page, url, password)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 740})
            for path in PAGES:
                page.goto(url + path)
                if page.evaluate(WIDER) > 0:
                    wide.append(f"{path} at {width}")
        browser.close()
    sys.stdout.write(json.dumps({"seen": seen, "wide": wide, "shown": shown}))


if __name__ == "__main__":
    main(*sys.argv[1:])
