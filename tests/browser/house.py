"""A real Chromium before a live server: found, started, and watched for what a page must never do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, Request
from serve_house import House

from feilun.serve.auth import issue_owner_token

ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE = {"width": 1200, "height": 800}
PHONE = {"width": 360, "height": 740}
PATIENCE_MS = 10_000
# Runs before the page's own scripts; what the policy refuses becomes a line that the watch reads.
REPORT = """addEventListener("securitypolicyviolation", (event) => console.error("policy", event.violatedDirective, event.blockedURI))"""


def find_chromium() -> str | None:
    """The browser that FEILUN_CHROMIUM names, else Debian's, else one in PATH."""
    named = os.environ.get("FEILUN_CHROMIUM")
    candidates = [named] if named else ["/usr/bin/chromium", *(shutil.which(name) for name in NAMES)]
    return next((path for path in candidates if path and Path(path).exists()), None)


def launch(playwright: Playwright, path: str) -> Browser:
    return playwright.chromium.launch(executable_path=path, args=list(ARGS))


class Watch:
    """What went wrong on the pages of one context. `forgive` says which console errors a test provokes."""

    def __init__(self, house: House) -> None:
        self.house, self.faults, self.forgiven = house, list[str](), list[str]()

    def forgive(self, part: str) -> None:
        self.forgiven.append(part)

    def attach(self, context: BrowserContext) -> None:
        context.add_init_script(REPORT)
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))
        context.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.forgiven):
            self.faults.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.house.url}/", "data:")):
            self.faults.append(f"asked {request.url}")


@contextmanager
def visiting(browser: Browser, house: House, **options: object) -> Iterator[tuple[BrowserContext, Watch]]:
    """One visitor of the house with no session yet; at the end nothing may have gone wrong."""
    context = browser.new_context(**{"viewport": WIDE, "locale": "en-US", "color_scheme": "light", "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(house)
    watch.attach(context)
    try:
        yield context, watch
    finally:
        context.close()
    assert watch.faults == [], "\n".join(watch.faults)


def enter(context: BrowserContext, house: House, *, ready: bool = True) -> Page:
    """The owner's page by a fresh link, once it has read the status."""
    page = context.new_page()
    page.goto(f"{house.url}/?token={issue_owner_token(house.store)}")
    page.wait_for_selector("body[data-seen]")
    if ready:
        page.wait_for_selector("body[data-state=ready] #composer")
    return page


# --- what a reader does


def say(page: Page, text: str) -> None:
    page.fill("#ask", text)
    page.keyboard.press("Enter")


def ask(page: Page, text: str) -> None:
    """Ask, and wait for the whole answer."""
    count = page.locator("article.theirs:not(.running)").count()
    say(page, text)
    page.locator("article.theirs:not(.running)").nth(count).locator(".tools").wait_for()


def last(page: Page) -> str:
    """The text of the last answer."""
    return page.locator("article.theirs .prose").last.inner_text()


def width(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")
