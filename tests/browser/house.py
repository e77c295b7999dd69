"""A real Chromium before a live server: found, started, and watched for what a page must never do."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Locator, Page, Playwright, Request, TimeoutError, WebError
from playwright.sync_api import expect as claims_about
from serve_house import House

from feilun.serve.auth import issue_owner_token

ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
# The first is Debian's Chromium without a window, the quickest.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDE = {"width": 1200, "height": 800}
PHONE = {"width": 360, "height": 740}
USUAL = {"viewport": WIDE, "locale": "en-US", "color_scheme": "light", "reduced_motion": "reduce"}
CHINESE_PHONE = {"viewport": PHONE, "locale": "zh-CN", "color_scheme": "dark", "has_touch": True}
PATIENCE_MS = 30_000
# Resolves at the next change of the document; what changes without it (focus, scrolling, a box's text) is looked for now and then.
CHANGE_MS = 60
CHANGE = """ms => new Promise((resolve) => {
  const observer = new MutationObserver(() => resolve(observer.disconnect()));
  observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  setTimeout(() => resolve(observer.disconnect()), ms);
})"""
# Runs before the page's own scripts; what the policy refuses becomes a line that the watch reads.
REPORT = """addEventListener("securitypolicyviolation", (event) => console.error("policy", event.violatedDirective, event.blockedURI))"""


def find_chromium() -> str | None:
    """The browser that FEILUN_CHROMIUM names, else one in PATH."""
    named = os.environ.get("FEILUN_CHROMIUM")
    candidates = [named] if named else [shutil.which(name) for name in NAMES]
    return next((path for path in candidates if path and Path(path).exists()), None)


def launch(playwright: Playwright, path: str) -> Browser:
    return playwright.chromium.launch(executable_path=path, args=list(ARGS))


class Watch:
    """What went wrong on the pages of one visit. `forgive` says which console errors a test provokes."""

    def __init__(self, house: House) -> None:
        self.house, self.faults, self.forgiven = house, list[str](), list[str]()

    def forgive(self, part: str) -> None:
        self.forgiven.append(part)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self.forgiven):
            self.faults.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def failed(self, error: WebError) -> None:
        self.faults.append(f"error: {error.error}")

    def asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.house.url}/", "data:")):
            self.faults.append(f"asked {request.url}")


class Seat:
    """A context of the browser and its page, which are used again: a new one costs more than most tests. `watch` is the visit's own."""

    def __init__(self, browser: Browser, scripts: tuple[str, ...], options: dict[str, object], watch: Watch) -> None:
        self.options, self.watch = options, watch
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_MS)
        for script in (REPORT, *scripts):
            self.context.add_init_script(script)
        self.context.on("console", lambda message: self.watch.heard(message))
        self.context.on("weberror", lambda error: self.watch.failed(error))
        self.context.on("request", lambda request: self.watch.asked(request))

    def clear(self) -> None:
        """Nothing of the visit is left: no script that runs, no cookie, no draft, no route, no permission."""
        context, page = self.context, first_page(self.context)
        for other in context.pages[1:]:
            other.close()
        context.set_offline(False)
        context.clear_permissions()
        page.unroute_all(behavior="ignoreErrors")
        page.evaluate("sessionStorage.clear(), localStorage.clear(), location.replace('about:blank')")
        page.wait_for_url("about:blank")
        page.emulate_media(color_scheme=self.options["color_scheme"], reduced_motion=self.options["reduced_motion"])
        context.clear_cookies()


class Visitors:
    """The visitors of all houses, one after the other on the same seats."""

    def __init__(self, browser: Browser) -> None:
        self._browser, self._free = browser, dict[str, list[Seat]]()

    @contextmanager
    def visiting(self, house: House, *scripts: str, **options: object) -> Iterator[tuple[BrowserContext, Watch]]:
        """One visitor of the house with no session yet; at the end nothing may have gone wrong. scripts: run before the page's own."""
        options, watch = USUAL | options, Watch(house)
        free = self._free.setdefault(json.dumps([scripts, options], sort_keys=True), [])
        seat = free.pop() if free else Seat(self._browser, scripts, options, watch)
        seat.watch = watch
        try:
            yield seat.context, watch
            seat.clear()
        except BaseException:
            seat.context.close()
            raise
        free.append(seat)
        assert watch.faults == [], "\n".join(watch.faults)


def first_page(context: BrowserContext) -> Page:
    """The page that a context has anyway."""
    return context.pages[0] if context.pages else context.new_page()


def enter(context: BrowserContext, house: House, *, ready: bool = True) -> Page:
    """The owner's page by a fresh link, once it has read the status."""
    page = first_page(context)
    page.goto(f"{house.url}/?token={issue_owner_token(house.store)}")
    page.wait_for_selector("body[data-seen]")
    if ready:
        page.wait_for_selector("body[data-state=ready] #composer")
    return page


class Soon:
    """What playwright can claim about a place, looked at again at every change of the page: its own looks grow a second apart."""

    def __init__(self, place: Locator) -> None:
        self._place = place

    def __getattr__(self, claim: str) -> Callable[..., None]:
        holds = getattr(claims_about(self._place), claim)

        def wait(*given: object, timeout: float = PATIENCE_MS, **more: object) -> None:
            end = time.monotonic() + timeout / 1000
            while True:
                try:
                    return holds(*given, timeout=1, **more)
                except AssertionError:
                    if time.monotonic() > end:
                        raise
                wait_for_change(self._place.page)

        return wait


def expect(place: Locator) -> Soon:
    return Soon(place)


def wait_for_change(page: Page) -> None:
    try:
        page.evaluate(CHANGE, CHANGE_MS)
    except Error:  # the document itself went
        time.sleep(CHANGE_MS / 1000)


# --- what a reader does


def say(page: Page, text: str) -> None:
    page.fill("#ask", text)
    page.keyboard.press("Enter")


def ask(page: Page, text: str) -> None:
    """Ask, and wait for the whole answer."""
    count = page.locator("article.theirs:not(.running)").count()
    say(page, text)
    try:
        page.locator("article.theirs:not(.running)").nth(count).locator(".tools").wait_for()
    except TimeoutError as error:
        raise AssertionError(f"no answer to {text!r}; the page: {page.locator('body').inner_html()[-6000:]}") from error


def last(page: Page) -> str:
    """The text of the last answer."""
    return page.locator("article.theirs .prose").last.inner_text()


def width(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")
