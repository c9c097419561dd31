"""Run by test_pages.py in a process of its own (Playwright and gevent do not share one). Prints what it saw as JSON."""

import json
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

PAGES = (
    "/dashboard", "/keys", "/keys?state=cooling", "/keys/1/delete", "/pools", "/pools/new", "/pools/1",
    "/pools/2", "/pools/2/regenerate", "/pools/2/delete", "/keys?pool=2", "/keys/import", "/clients",
    "/clients/2/revoke", "/stat", "/stat?pool=2", "/settings", "/account", "/providers",
    "/providers/gemini", "/playground", "/requests", "/audit", "/imports", "/jobs", "/bin", "/settings/api",
    "/keys/1/edit", "/keys/1/limits", "/pools/1/limits", "/clients/2/limits", "/keys/1",
    "/keys?size=100&provider=gemini", "/imports/1", "/jobs/1", "/nothing-here",
)  # fmt: skip
WIDTHS = (320, 360, 768, 1000, 1280, 1600)
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SHOW = "state => Object.defineProperty(document, 'visibilityState', {value: state, configurable: true})"
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 740}


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


def many(page, url, password):
    """Tick, disable together, undo, test one, copy: what it said on the way."""
    told = {}
    page.goto(f"{url}/keys?q=AIzaJs")
    told["bar before"] = page.is_visible(".bulk")
    rows = page.locator("tbody tr")
    rows.nth(2).locator("[name=key]").check()
    rows.nth(5).locator("[name=key]").click(modifiers=["Shift"])
    told["ticked"] = page.inner_text("[data-ticked]")
    page.click(".bulk summary >> nth=0")
    page.click(".bulk button[value=week]")
    rows.nth(5).locator("[data-state=disabled]").wait_for()
    told["still ticked"] = page.inner_text("[data-ticked]")
    told["focus"] = page.evaluate("document.activeElement.tagName")
    page.click("#flash button")
    rows.nth(5).locator("[data-state=healthy]").wait_for()
    told["after undo"] = page.inner_text("#flash")
    told["focus after undo"] = page.evaluate("document.activeElement.id")
    test = rows.nth(2).locator("[id^=test-]")
    test.focus()
    page.keyboard.press("Enter")
    rows.nth(2).locator("[data-check=alive]").wait_for()
    told["test"] = page.inner_text("#said")
    told["focus after test"] = page.evaluate("document.activeElement.id") == test.get_attribute("id")
    page.check("thead [data-tick-all]")
    told["all"] = page.inner_text("[data-ticked]")
    page.click(".deeds >> text=Copy")
    page.fill("#copying input[type=password]", password)
    page.press("#copying input[type=password]", "Enter")
    page.wait_for_selector("#copying [data-said]")
    told["clipboard"] = page.evaluate("navigator.clipboard.readText()").split()
    return told


def name_at_length(page, url):
    """Names without a place to break, as long as they may be: a pool's, what it is for, a user key's, a key's."""
    for name in ("w" * 150, "p" * 36):
        page.goto(f"{url}/pools/new")
        page.fill("[name=name]", name)
        page.fill("[name=description]", "d" * 150)
        page.click("#new-pool .primary")
        page.wait_for_selector("#auth")
    page.goto(f"{url}/clients")
    page.fill("[name=name]", "c" * 150)
    page.select_option("[name=pool]", "2")
    page.click("#new-client .primary")
    page.wait_for_selector("[data-copy-source]")
    page.goto(f"{url}/keys/import?pool=2")
    page.fill("textarea", "AIzaLong0001" + "d" * 27 + "\t" + "n" * 120 + "\t" + "e" * 80 + "@example.com")
    page.click("form#import button")
    page.click("text=Import 1 key")
    page.wait_for_selector("text=1 key imported")


def looks_again(page, url):
    """How often the dashboard asked in a minute while it was looked at, and while it was hidden."""
    asked = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/figures") else None)
    page.clock.install()
    page.goto(f"{url}/dashboard")
    seen = 0
    for visibility in ("visible", "hidden"):
        seen = len(asked)
        page.evaluate(SHOW, visibility)
        for _ in range(4):
            page.clock.run_for(15_000)
            page.wait_for_timeout(300)
    return seen, len(asked) - seen


PASTED = "\n".join(
    ["AIzaAxe0001" + "c" * 28, "AIzaAxe0001" + "c" * 28, "ya29." + "a" * 40, "Zq8" * 12 + f"\t{'a long note ' * 20}"]
)
"""A key, the same again, no key, and one of unknown shape."""


def pressed_for(page, url, password):
    """Pages that only a press leads to, one after the other, as without htmx: whole ones. Their names."""
    page.route("**/htmx*", lambda route: route.fulfill(content_type="text/javascript", body=""))
    page.goto(f"{url}/pools/new")
    page.fill("[name=name]", "x" * 60)
    page.click("form#new-pool button")
    page.goto(f"{url}/pools/1")
    page.click("text=Show and copy")
    page.wait_for_selector("#auth input[type=password]")
    page.wait_for_load_state()  # a page without its styles yet is wider
    yield "the password asked for an auth key"
    page.goto(f"{url}/keys/import")
    page.fill("textarea", PASTED)
    page.click("form#import button")
    page.wait_for_selector("text=Import 2 keys")
    yield "the preview of an import"
    page.click("text=Import 2 keys")
    page.wait_for_selector("text=2 keys imported")
    yield "the result of an import"
    for deed in ("Delete", "Copy"):
        page.goto(f"{url}/keys")
        page.check("#tick-1")
        page.check("#tick-2")
        page.click(f".deeds >> text={deed}")
        page.wait_for_selector(f"text={deed} 2 keys")
        yield f"{deed} 2 keys"
    page.fill("#copying input[type=password]", password)
    page.press("#copying input[type=password]", "Enter")
    page.wait_for_selector("#whole")
    yield "the keys in full"


def too_wide(page, width):
    page.set_viewport_size({"width": width, "height": 740})
    return page.evaluate(WIDER) > 0


def others(browser, url, key, seen):
    """Pages of those who are no admin: of somebody with a user key, and a stranger's. Yields (page, name)."""
    page = browser.new_context().new_page()
    watch(page, seen)
    page.goto(f"{url}/nothing-here")
    yield page, "nothing here, for a stranger"
    page.goto(f"{url}/login")
    page.fill("input[type=password]", key)
    page.press("input[type=password]", "Enter")
    page.wait_for_url(f"{url}/own")
    yield page, "/own"


def wrongs(page, path, scheme):
    """What axe holds against a page, of those things that keep somebody out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{path} {scheme}: {each['id']} {each['nodes'][0]['html'][:120]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def main(chromium, url, password, hostile, client_key):
    seen, wide, wrong, shown = [], [], [], {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for script in (True, False):
            page = browser.new_context(java_script_enabled=script).new_page()
            watch(page, seen)
            sign_in(page, url, password)
            shown["with script" if script else "without"] = work(page, url, password, hostile, "Js" if script else "No")
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        page = context.new_page()
        watch(page, seen)
        sign_in(page, url, password)
        told = many(page, url, password)
        told["asked"], told["asked hidden"] = looks_again(context.new_page(), url)
        name_at_length(page, url)
        other = browser.new_context().new_page()
        watch(other, seen)
        sign_in(other, url, password)
        for name in pressed_for(other, url, password):
            wide += [f"{name} at {width}" for width in WIDTHS if too_wide(other, width)]
            for scheme in ("light", "dark"):
                other.emulate_media(color_scheme=scheme)
                wrong += wrongs(other, name, scheme)
        for shown_to, name in others(browser, url, client_key, seen):
            wide += [f"{name} at {width}" for width in WIDTHS if too_wide(shown_to, width)]
            for scheme in ("light", "dark"):
                shown_to.emulate_media(color_scheme=scheme)
                wrong += wrongs(shown_to, name, scheme)
        for path in PAGES:
            page.goto(url + path)
            wide += [f"{path} at {width}" for width in WIDTHS if too_wide(page, width)]
        for scheme, size in (("light", WIDE), ("dark", NARROW)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            for path in PAGES:
                page.goto(url + path)
                wrong += wrongs(page, path, scheme)
            page.set_viewport_size(WIDE)
            page.goto(f"{url}/keys")
            page.check("#tick-1")
            page.click(".deeds >> text=Copy")
            page.wait_for_selector("#whole")
            wrong += wrongs(page, "a selection", scheme)
            page.keyboard.press("Escape")
            page.wait_for_selector("#whole", state="hidden")
        page.click("text=Sign out")
        page.wait_for_url(f"{url}/login")
        wrong += wrongs(page, "/login", scheme)
        browser.close()
    sys.stdout.write(json.dumps({"seen": seen, "wide": wide, "shown": shown, "told": told, "wrong": wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
