"""The page in Chromium: how soon it is there, and whether it stays quick while a conversation of 500 messages streams and scrolls.

    python -m benchmarks.page [--rounds N] [--messages N] [--tokens N] [--chromium PATH]

An echo engine answers at a set pace, so that what is measured is the server's rendering and the page. Each round starts a server in a
process of its own and a browser with an empty cache. "first page" counts from the start of the server's process to the page's
DOMContentLoaded and first contentful paint, "warm" is the same page again with its files in the cache. A long task is one that keeps
the page's thread for more than 50 ms, as the browser itself reports it. Times are milliseconds.
"""

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

THREAD = "a-long-conversation"
TOKENS_PER_SECOND = 400
WHEEL_PX, WHEEL_TURNS, WHEEL_PAUSE_MS = 700, 40, 16
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-precise-memory-info")
BEFORE = """
window.seenTasks = [];
new PerformanceObserver((list) => seenTasks.push(...list.getEntries().map(({ startTime, duration }) => [startTime, duration])))
  .observe({ type: "longtask", buffered: true });
window.seenFrames = [];
requestAnimationFrame(function frame(at) {
  seenFrames.push(at);
  requestAnimationFrame(frame);
});
"""
LOADED = """() => {
  const [page] = performance.getEntriesByType("navigation"), files = performance.getEntriesByType("resource");
  const sum = (name) => page[name] + files.filter((file) => !file.name.includes("/api/")).reduce((total, file) => total + file[name], 0);
  return { dom_ms: page.domContentLoadedEventEnd, paint_ms: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    bytes_sent: sum("transferSize"), bytes: sum("decodedBodySize"), began: performance.timeOrigin };
}"""
ABSENT = {
    "open-webui": "its package pins an environment of several gigabytes of its own and fetches models at its first start",
    "librechat": "it needs Node, MongoDB and Meilisearch as services, which this machine does not run",
    "nanochat": "its page is served by its engine alone, which wants a checkpoint of its own format",
}

SECTION = """## Part {n}: what {n} of them cost

Three shops sell the same *mug*; the second one is **{n} cents** cheaper, and `price({n})` says so. 第{n}家店的杯子最便宜,
因为它的运费是 $\\frac{{{n}}}{{3}}$ 元。

- the first asks {n}9.90
- the second asks {n}9.80
- the third asks {n}9.85

| shop | price | postage | sum |
|---|--:|--:|--:|
| one | {n}9.90 | 3.00 | {n}2.90 |
| two | {n}9.80 | 2.50 | {n}2.30 |
| three | {n}9.85 | 2.75 | {n}2.60 |

```python
def price(shop: int, postage: float = {n}.0) -> float:
    # The sum of both, rounded as on a bill.
    listed = {{1: 9.90, 2: 9.80, 3: 9.85}}
    return round(listed[shop] + postage, 2)


print(min(price(shop) for shop in (1, 2, 3)))
```

"""
SHORT = ("The second one: **{n}9.80**.", "第二家,{n}9.80 元。", "1. one\n2. two\n\nSo `two`, by {n} cents.", SECTION)


# --- the server


def long_answer(tokenizer: Any, num_tokens: int) -> str:
    text, n = "", 1
    while len(tokenizer.encode(text)) < num_tokens:
        text, n = text + SECTION.format(n=n), n + 1
    return text


def fill(home: Path, num_messages: int) -> None:
    """A conversation of that many messages with the question and answer to come, every fourth answer a long one."""
    from feilun.store import CompletionRecord, Store
    from feilun.types import Decision

    messages: list[dict[str, Any]] = []
    with Store.open(home) as store:
        began = time.time() - num_messages
        for n in range(num_messages // 2 - 1):
            messages.append({"role": "user", "content": f"Which of the three mugs is the cheapest if the postage is {n}?"})
            text = SHORT[n % len(SHORT)].format(n=n)
            store.record_completion(CompletionRecord(
                id=f"chatcmpl-{n:06}", principal="owner", model="models/echo@0", thread_id=THREAD, messages=list(messages),
                choices=[{"index": 0, "text": text, "finish_reason": "stop", "num_tokens": 9}],
                decision=Decision(engine="echo", model="models/echo@0"), started=began + 2 * n, finished=began + 2 * n + 1,
            ))  # fmt: skip
            messages.append({"role": "assistant", "content": text})


def serve(home: Path, num_tokens: int) -> None:
    from feilun.artifacts import draft
    from feilun.config import ServeSettings, TokenizerSettings
    from feilun.engine.chat import TextChat
    from feilun.engine.echo import EchoEngine
    from feilun.serve.app import run
    from feilun.store import Store
    from feilun.tokenizer import Tokenizer

    def factory(path: Path, ref: str, _settings: ServeSettings) -> TextChat:
        tokenizer = Tokenizer.load(path)
        long = long_answer(tokenizer, num_tokens)
        return TextChat.over(EchoEngine(
            tokenizer, ref=ref, delay_seconds=1 / TOKENS_PER_SECOND, context_tokens=1 << 20,
            answer=lambda text: long if text.startswith("Tell") else text,
        ))  # fmt: skip

    with Store.open(home) as store:
        if store.champion() is None:
            with draft(home, "models", "echo") as work:
                Tokenizer.train([SECTION.format(n=7)] * 9, TokenizerSettings(vocab_size=512, num_reserved=8)).save(work.path)
            assert work.artifact is not None
            store.set_champion(f"models/{work.artifact.ref}", "benchmark")
    run(home, ServeSettings(port=0), engine_factory=factory, on_start=lambda address: print(address.owner_url, flush=True))


@contextmanager
def server(home: Path, num_tokens: int) -> Iterator[str]:
    """The owner's link of a server of its own."""
    command = [sys.executable, "-m", "benchmarks.page", "--serve", str(home), "--tokens", str(num_tokens)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


# --- the browser


def first_page(context: "BrowserContext", url: str, started: float) -> dict[str, float]:
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-state=ready] #composer")
    page.wait_for_load_state("networkidle")
    found: dict[str, float] = page.evaluate(LOADED)
    since = found.pop("began") / 1e3 - started
    found["from_start_ms"] = 1e3 * since + found["paint_ms"]
    page.close()
    return found


def tasks(page: "Page", since: float) -> dict[str, float]:
    """Long tasks since then, and the longest time between two frames."""
    found = page.evaluate("since => seenTasks.filter(([start]) => start >= since).map(([, duration]) => duration)", since)
    frames = page.evaluate("since => seenFrames.filter((at) => at >= since)", since)
    pauses = (after - before for before, after in itertools.pairwise(frames))
    return {"long_tasks": len(found), "total_ms": sum(found), "max_ms": max(found, default=0), "frame_max_ms": max(pauses, default=0.0)}


def now(page: "Page") -> float:
    return float(page.evaluate("performance.now()"))


def scroll(page: "Page", times: int) -> None:
    """Up and down again."""
    page.mouse.move(600, 400)
    for step in range(times):
        page.mouse.wheel(0, -WHEEL_PX if step < times // 2 else WHEEL_PX)
        page.wait_for_timeout(WHEEL_PAUSE_MS)


def conversation(context: "BrowserContext", url: str, num_messages: int) -> dict[str, dict[str, float]]:
    """Open, stream into, scroll while streaming, scroll after, and what is left in memory."""
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(f"{url}/#chat/{THREAD}")
    page.wait_for_function("count => document.querySelectorAll('article').length >= count", arg=num_messages - 2)
    found = {"open": {"ms": 1e3 * (time.perf_counter() - begun), **tasks(page, 0)}}
    page.wait_for_selector("body[data-state=ready] #composer")
    since = now(page)
    page.fill("#ask", "Tell me all about the mugs.")
    page.keyboard.press("Enter")
    page.wait_for_selector("article.theirs.running .block")
    page.wait_for_timeout(1000)
    found["stream"], since = tasks(page, since), now(page)
    scroll(page, WHEEL_TURNS)
    page.locator("article.theirs.running").wait_for(state="detached", timeout=120_000)
    page.locator("article.theirs .tools").last.wait_for(state="attached")
    assert page.evaluate("document.querySelector('#log').scrollTop") > 0
    found["stream and scroll"], since = tasks(page, since), now(page)
    scroll(page, 2 * WHEEL_TURNS)
    found["scroll"] = tasks(page, since)
    shown = page.locator("article.theirs .prose").last.inner_text()
    assert shown.count("def price") > 5, "the long answer is not there"
    found["after"] = memory(page)
    page.close()
    return found


def memory(page: "Page") -> dict[str, float]:
    protocol = page.context.new_cdp_session(page)
    protocol.send("HeapProfiler.collectGarbage")
    protocol.send("Performance.enable")
    metrics = {row["name"]: row["value"] for row in protocol.send("Performance.getMetrics")["metrics"]}
    return {"heap_mb": metrics["JSHeapUsedSize"] / 1e6, "nodes": metrics["Nodes"]}


def one_round(options: argparse.Namespace, browser: Any, filled: Path) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as root:
        home = Path(root) / "home"
        shutil.copytree(filled, home)
        started = time.time()
        with server(home, options.tokens) as link:
            ready = time.time()
            context = browser.new_context(viewport={"width": 1200, "height": 800})
            context.add_init_script(BEFORE)
            url = link.partition("/?")[0]
            found = {"server": {"ready_ms": 1e3 * (ready - started)}, "first page": first_page(context, link, started)}
            found["first page, warm"] = first_page(context, url, started)
            found["first page, warm"].pop("from_start_ms")
            found |= conversation(context, url, options.messages)
            context.close()
    return found


def medians(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The median of every figure; of the longest the longest."""
    first = rounds[0]
    pick = {what: {name: [found[what][name] for found in rounds] for name in rows} for what, rows in first.items()}
    return {
        what: {name: round(max(values) if name.endswith("max_ms") else statistics.median(values), 1) for name, values in rows.items()}
        for what, rows in pick.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--chromium", default=os.environ.get("FEILUN_CHROMIUM") or shutil.which("chromium"))
    parser.add_argument("--serve", metavar="HOME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Path(options.serve), options.tokens)
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        with server(Path(root), options.tokens):
            pass  # the model is made, and Python has compiled what it reads
        fill(Path(root), options.messages)
        browser = playwright.chromium.launch(executable_path=options.chromium, args=list(ARGS))
        version = browser.version
        ours = medians([one_round(options, browser, Path(root)) for _ in range(options.rounds)])
        browser.close()
    for what, rows in ours.items():
        print(f"{what:18} " + "   ".join(f"{name} {value:g}" for name, value in rows.items()))
    machine = {
        "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "python": platform.python_version(),
        "chromium": version, "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(json.dumps({"benchmark": "page", "machine": machine, "ours": ours, "peers": {}, "ratios": {}, "absent": ABSENT}))


if __name__ == "__main__":
    main()
