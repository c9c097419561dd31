"""Run by test_hands.py in a process of its own: keys, fingers and small screens. Prints what it met as JSON."""

import json
import sys

from playwright.sync_api import sync_playwright

WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
FOCUS = "document.activeElement.id || document.activeElement.tagName"
OPEN = "document.querySelectorAll('details.menu[open]').length"
WITHIN = """element => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth;
}"""
PLACE = "each => { const box = each.getBoundingClientRect(); return [box.x + scrollX, box.y + scrollY]; }"
CUT = "pres => pres.filter(pre => pre.scrollWidth > pre.clientWidth).length"
HEIGHT = "rows => rows.reduce((sum, row) => sum + row.offsetHeight, 0) / rows.length"
COVERED = """() => {
  const field = document.activeElement.getBoundingClientRect();
  const bar = document.querySelector('.save').getBoundingClientRect();
  return Boolean(document.activeElement.closest('.setting')) && field.bottom > bar.top;
}"""
COLOURS = """() => {
  const of = (selector, name, pseudo) => getComputedStyle(document.querySelector(selector), pseudo)[name];
  const search = "[type=search]";
  return {
    ground: of("body", "backgroundColor"),
    surface: of(search, "backgroundColor"),
    edges: [search, ".search button", "summary.button"].map((each) => of(each, "borderTopColor")),
    placeholder: of(search, "color", "::placeholder"),
    opacity: of(search, "opacity", "::placeholder"),
  };
}"""
SERIES = """() => ["ok", "error"].map((name) =>
  getComputedStyle(document.querySelector(`.legend [data-series=${name}]`), "::before").backgroundColor)"""


def sign_in(browser, url, password, **options):
    page = browser.new_context(**{"viewport": WIDE, **options}).new_page()
    page.set_default_timeout(10_000)
    page.goto(f"{url}/keys")
    page.fill("input[type=password]", password)
    page.press("input[type=password]", "Enter")
    page.wait_for_url(f"{url}/keys")
    return page


def far_down(page):
    """The 48th row of a page of 50: what is asked for there is answered there."""
    row = page.locator("tbody tr").nth(47)
    row.scroll_into_view_if_needed()
    at = page.evaluate("scrollY")
    row.locator("[id^=copy-]").click()
    page.wait_for_selector("dialog[open] input[type=password]")
    told = {"scrolled": at, "asked in": page.evaluate(FOCUS), "then": page.evaluate("scrollY")}
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    told |= {"after": page.evaluate("scrollY"), "given back": page.evaluate(FOCUS), "left": page.inner_html("#copying")}
    row.locator("[name=key]").check()
    page.click(".bulk summary >> nth=0")
    page.click(".bulk button[value=week]")
    undo = page.locator("#flash >> text=Undo")
    undo.wait_for()
    told |= {"undo in sight": undo.evaluate(WITHIN), "undo in": 0}
    while "Undo" not in page.evaluate("document.activeElement.textContent") and told["undo in"] < 20:
        page.keyboard.press("Shift+Tab")
        told["undo in"] += 1
    page.keyboard.press("Enter")
    page.wait_for_selector("#flash >> text=Undone.")
    return told


def menus(page):
    summary = page.locator("tbody tr").nth(3).locator("summary.button")
    told = {}
    summary.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    told["escaped"] = [page.evaluate(FOCUS) == summary.get_attribute("id"), page.evaluate(OPEN)]
    page.keyboard.press("Enter")
    told["open"] = page.evaluate(OPEN)
    for _ in range(5):
        page.keyboard.press("Tab")
    told["tabbed away"] = page.evaluate(OPEN)
    return told


def troubles(page, url):
    """Without a connection; a key that somebody else deleted meanwhile; and what is left of it after a success."""
    test = page.locator("tbody tr").nth(20).locator("[id^=test-]")
    test.scroll_into_view_if_needed()
    page.context.set_offline(True)
    test.click()
    page.wait_for_selector("[data-trouble]")
    told = {"offline": page.inner_text("#flash p"), "in sight": page.locator("#flash p").evaluate(WITHIN)}
    page.context.set_offline(False)
    test.click()
    page.wait_for_selector("[data-trouble]", state="detached")
    other = page.context.new_page()
    other.goto(f"{url}/keys/21/delete")
    other.click(".ask .primary")
    other.close()
    test.click()
    page.wait_for_selector("[data-trouble]")
    told["gone"] = page.inner_text("#flash p")
    page.click("#flash [data-dismissal]")
    told["dismissed"] = page.inner_text("#flash")
    return told


def last_error(page, url, hint):
    """What is said of a key that failed: on its row, on a press, and after a test."""
    page.goto(f"{url}/keys?q={hint}")
    row = page.locator("tbody tr").first
    row.locator(".fault summary").click()
    told = {"summary": row.locator(".fault summary").inner_text(), "panel": row.locator(".fault .panel").inner_text()}
    page.keyboard.press("Escape")
    row.locator("[id^=test-]").click()
    row.locator(".check").wait_for()
    return told | {"tested": row.inner_text()}


def refused(page, url):
    """Forms that come back: where the focus is, and what it is told there."""
    page.goto(f"{url}/settings")
    page.fill("#setting-max_attempts", "0")
    page.click(".save button")
    page.wait_for_selector(".field[data-wrong]")
    field = page.locator("#setting-max_attempts")
    told = [[page.evaluate(FOCUS), field.get_attribute("aria-invalid"), field.get_attribute("aria-describedby")]]
    page.goto(f"{url}/pools/new")
    page.fill("[name=name]", "default")
    page.click("#new-pool .primary")
    page.wait_for_selector(".field[data-wrong]")
    field = page.locator("#field-name")
    return [
        *told,
        [page.evaluate(FOCUS), field.get_attribute("aria-invalid"), field.get_attribute("aria-describedby")],
    ]


def hidden_by_the_bar(page, url):
    """How many fields of the settings nobody sees when Tab comes to them."""
    page.goto(f"{url}/settings")
    page.focus(".setting :is(input, select):not([type=hidden])")
    covered = 0
    for _ in range(60):
        covered += page.evaluate(COVERED)
        page.keyboard.press("Tab")
    return covered


def phone(browser, url, password, script):
    page = sign_in(browser, url, password, viewport=PHONE, java_script_enabled=script)
    told = {"links before": page.locator(".rail nav a >> nth=0").is_visible()}
    page.click(".unfold")
    links, choices = page.locator(".rail nav a"), page.locator(".rail .choices button")
    told["links"] = [each.evaluate(WITHIN) for each in links.all()]
    told["current"] = page.locator(".rail nav [aria-current]").inner_text()
    told["choices"] = [each.evaluate(WITHIN) for each in choices.all()]
    page.keyboard.press("Escape")
    told["chips"] = [each.evaluate(WITHIN) for each in page.locator(".chip").all()]
    told["a key's height"] = page.eval_on_selector_all("tbody tr", HEIGHT)
    row = page.locator("tbody tr").nth(2)
    before = row.locator("[id^=copy-]").evaluate(PLACE)
    row.locator("summary.button").click()
    told["a menu moved"] = row.locator("[id^=copy-]").evaluate(PLACE) != before
    page.goto(f"{url}/dashboard")
    told["a request's height"] = page.eval_on_selector_all("#recent tbody tr", HEIGHT)
    page.context.close()
    return told


def importing(page, url):
    page.goto(f"{url}/keys/import")
    page.fill("textarea", "\n".join(f"AIzaTick{n:04d}" + "t" * 27 for n in range(2)) + "\nno key at all")
    page.click("form#import button")
    button = page.locator("[data-take-none]")
    said = []
    for deed in (None, "uncheck", "uncheck", "check"):
        if deed:
            getattr(page.locator("[name=take]").nth(len(said) % 2), deed)()
        said.append([button.inner_text(), button.is_enabled()])
    page.set_viewport_size(PHONE)
    empty = [each.is_visible() for each in page.locator("tbody td:empty").all()]
    page.set_viewport_size(WIDE)
    return {"said": said, "labels of nothing": empty}


def colours(page, url):
    told = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{url}/keys")
        told[scheme] = page.evaluate(COLOURS)
        page.goto(f"{url}/dashboard")
        told[scheme]["series"] = page.evaluate(SERIES)
    return told


def main(chromium, url, password, hint):
    told = {}
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        told["phone"] = {str(script): phone(browser, url, password, script) for script in (True, False)}
        page = sign_in(browser, url, password)
        told["far down"] = far_down(page)
        told["menus"] = menus(page)
        told["troubles"] = troubles(page, url)
        told["last error"] = last_error(page, url, hint)
        told["refused"] = refused(page, url)
        told["covered"] = [hidden_by_the_bar(page, url)]
        page.set_viewport_size(PHONE)
        told["covered"].append(hidden_by_the_bar(page, url))
        page.goto(f"{url}/pools/1")
        told["cut"] = [page.eval_on_selector_all(".snippet pre", CUT)]
        page.set_viewport_size(WIDE)
        told["cut"].append(page.eval_on_selector_all(".snippet pre", CUT))
        told["importing"] = importing(page, url)
        told["colours"] = colours(page, url)
        browser.close()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
