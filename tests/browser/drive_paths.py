"""Run by test_paths.py in a process of its own: one of an operator's main paths, with script and without."""

import json
import sys
import urllib.request

from playwright.sync_api import sync_playwright

CHIP = "a.chip[aria-current] b"
KEYS = 1_000


def sign_in(page, url, password):
    page.goto(f"{url}/login")
    page.fill("input[type=password]", password)
    page.press("input[type=password]", "Enter")
    page.wait_for_url(f"{url}/dashboard")


def pasted(tag):
    return "\n".join(f"AIza{tag}{n:04d}" + "i" * 29 for n in range(KEYS))


def counted(page, url, query):
    """How many keys the chip that is chosen counts."""
    page.goto(f"{url}/keys?{query}")
    return page.inner_text(CHIP)


def first_call(page, url, password, tag):
    """From nothing to an answer: sign in, paste a key, copy the pool's auth key, call."""
    sign_in(page, url, password)
    told = {"next step": page.inner_text("main .button.primary") if tag == "Js" else "Import keys"}
    page.goto(f"{url}/keys/import")
    page.fill("textarea", f"AIza{tag}" + "f" * 33)
    page.click("form#import button.primary")
    page.click("[data-take-none]")
    page.wait_for_selector("text=1 key imported")
    page.click("text=/^To the pool/")
    page.click("text=Show and copy")
    page.fill("#auth input[type=password]", password)
    page.click("#auth button.primary")
    page.wait_for_selector("[data-secret]")
    told["said"] = call(url, page.inner_text("[data-secret]"))
    page.goto(f"{url}/requests")
    for _ in range(20):
        if page.locator(".log tbody").count():
            break
        page.wait_for_timeout(250)
        page.reload()
    return told | {"listed": page.locator(".log tbody").first.inner_text().split()}


def call(url, key):
    body = json.dumps({"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/chat/completions", body, headers), timeout=10) as got:
        return json.load(got)["choices"][0]["message"]["content"]


def import_and_undo(page, url, password, tag):
    """A thousand keys pasted, seen, taken in, and taken back."""
    sign_in(page, url, password)
    before = counted(page, url, "")
    page.goto(f"{url}/keys/import")
    page.fill("textarea", pasted(tag))
    page.click("form#import button.primary")
    page.wait_for_selector("[data-take-none]")
    told = {"preview": page.inner_text("[data-fate=new] b"), "button": page.inner_text("[data-take-none]")}
    preview = page.url
    told["in before"] = counted(page, url, "") == before
    page.goto(preview)
    page.click("[data-take-none]")
    page.wait_for_selector("text=See the keys")
    told["heading"] = page.inner_text("h1")
    undo = page.locator("main button", has_text="Undo")
    address = page.url
    told["in"] = counted(page, url, f"q=AIza{tag}")
    page.goto(address)
    undo.click()
    page.wait_for_load_state()
    for _ in range(40):
        told["after undo"] = counted(page, url, "") == before
        if told["after undo"]:
            break
        page.wait_for_timeout(200)
    page.goto(f"{url}/bin")
    return told | {"in the bin": f"AIza{tag}"[:8] in page.inner_text("main")}


def disable_all_matching(page, url, password, tag):
    """Three ticked, all that match meant: more than one page of them, and none beside."""
    sign_in(page, url, password)
    page.goto(f"{url}/keys?q=AIzaMany")
    for place in range(3):
        page.locator("tbody [name=key]").nth(place).check()
    page.check("#every")
    told = {"selected": page.inner_text("[data-ticked]") if tag == "Js" else "300 selected"}
    page.locator(".bulk summary").first.click()
    page.click(".bulk button[value=week]")
    for _ in range(40):
        page.wait_for_timeout(200)
        told["disabled"] = counted(page, url, "state=disabled&q=AIzaMany")
        if told["disabled"] == "300":
            break
    told["others"] = counted(page, url, "state=disabled&q=AIzaOther")
    page.goto(f"{url}/keys?q=AIzaMany")
    page.locator("tbody [name=key]").first.check()
    page.check("#every")
    page.click(".bulk >> text=Enable")
    for _ in range(40):
        page.wait_for_timeout(200)
        told["enabled again"] = counted(page, url, "state=disabled&q=AIzaMany")
        if told["enabled again"] == "0":
            break
    return told


def throttled(page, url, password, tag):
    """Guesses, until none is heard any more; the right one is not either."""
    said = []
    for guess in [*(f"guess {n}" for n in range(5)), password]:
        page.goto(f"{url}/login")
        page.fill("input[type=password]", guess)
        page.press("input[type=password]", "Enter")
        page.wait_for_selector(".wrong")
        said.append(page.inner_text(".wrong"))
    return {"said": said, "wait": page.inner_text(".door form .hint >> nth=-1"), "at": page.url.removeprefix(url)}


def choices(page, url, password, tag):
    """Colours and language are pressed on one page and hold on the next, and at the door after signing out."""
    sign_in(page, url, password)
    ground = "getComputedStyle(document.body).backgroundColor"
    told = {"auto": page.evaluate(ground) if tag == "Js" else ""}
    if not page.locator("button[value=dark]").is_visible():
        page.click(".unfold")
    page.click("button[value=dark]")
    page.wait_for_selector("html[data-theme=dark]")
    told["dark"] = page.evaluate(ground) if tag == "Js" else ""
    page.click("button[value=zh_Hans_CN]" if page.locator("button[value=zh_Hans_CN]").count() else "button[value^=zh]")
    page.wait_for_selector("html[lang^=zh]")
    page.goto(f"{url}/keys/import")
    told["title"] = page.inner_text("h1")
    told["pressed"] = page.locator("[aria-pressed=true]").all_inner_texts()
    page.click(".sign-out button")
    page.wait_for_url(f"{url}/login")
    return told | {"theme": page.get_attribute("html", "data-theme"), "door": page.inner_text(".door button")}


PATHS = {
    each.__name__: each for each in (first_call, import_and_undo, disable_all_matching, throttled, choices)
}  # fmt: skip


def main(chromium, path, script, url, password):
    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        options = {"java_script_enabled": script == "True", "viewport": {"width": 1280, "height": 900}}
        page = browser.new_context(locale="en-US", **options).new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda it: it.type == "error" and " 4" not in it.text and complaints.append(it.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        told = PATHS[path](page, url, password, "Js" if script == "True" else "No")
        browser.close()
    sys.stdout.write(json.dumps(told | {"complaints": complaints}))


if __name__ == "__main__":
    main(*sys.argv[1:])
