"""Run by test_stat.py in a process of its own: opens an exhausted badge of /stat and watches the countdown end."""

import json
import sys

from playwright.sync_api import sync_playwright

chromium, url, password = sys.argv[1:4]
with sync_playwright() as playwright:
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    browser = playwright.chromium.launch(executable_path=chromium, args=flags)
    told = {}
    for script in (True, False):
        page = browser.new_page(java_script_enabled=script, locale="en-US")
        page.goto(f"{url}/stat")
        page.fill("input[type=password]", password)
        page.press("input[type=password]", "Enter")
        page.wait_for_url(f"{url}/stat")
        before = page.inner_text("[data-countdown]")
        badge = page.locator("details:has(s)").first
        badge.locator("summary").click()
        for _ in range(20):
            page.wait_for_timeout(250)
            if page.inner_text("[data-countdown]") != before or not script:
                break
        told["with script" if script else "without script"] = {
            "badge": badge.locator("summary").inner_text(),
            "opened": badge.inner_text(),
            "counted": page.inner_text("[data-countdown]") != before,
        }
        if script:
            asked = []
            page.on("request", lambda it, asked=asked: asked.append((it.url, it.headers.get("hx-request"))))
            page.evaluate("document.querySelector('[data-countdown]').dateTime = new Date().toISOString()")
            for _ in range(20):
                page.wait_for_timeout(250)
                if page.inner_text("[data-countdown]") > "0:00:00":
                    break
            page.wait_for_timeout(2_500)
            told["with script"]["asked as the day ended"] = asked
        page.close()
    browser.close()
print(json.dumps(told))
