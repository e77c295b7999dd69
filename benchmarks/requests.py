"""`python -m benchmarks.requests [--events N N] [--calls N]`: what each request and each look of the watcher takes behind a long history.

Every row is one call, in milliseconds (median): in a home of the first size, and in one of the last, where a hundred times as many
people have spoken (benchmarks.crowd). The owner's own conversations are as many in both; "team" is one credential whose conversations
grow with the rest. Before a call marked "news" somebody has just spoken, so that nothing which was kept until then may be shown.
An echo answers at once: all the time is the server's and the store's.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from benchmarks.crowd import COMMON, fill, make_model, open_rollout, person
from feilun.config import ServeSettings, WatchSettings
from feilun.demo.report import machine
from feilun.engine.chat import TextChat
from feilun.engine.echo import EchoEngine
from feilun.feedback.person import export_person
from feilun.serve.app import serving
from feilun.status import describe_home
from feilun.store import Store, uuid7
from feilun.turn import rolling
from feilun.turn.itself import due_now
from feilun.turn.watch import USUAL, Watcher
from feilun.turn.webhook import news

__all__ = ["CALLS", "House", "open_house"]

SCOPES = {"bench": ("chat", "feedback", "assert_end_user"), "team": ("chat", "feedback"), "rater-0": ("desk",), "rater-9": ("desk",)}
START_SECONDS = 60.0


@dataclass(slots=True)
class House:
    """A home with its server, and those who ask it by name: "owner" and the keys."""

    home: Path
    store: Store
    callers: dict[str, httpx.Client]
    fresh: Iterator[int] = field(default_factory=count)
    last: dict[str, Any] = field(default_factory=dict)

    def get(self, who: str, path: str, **query: Any) -> Any:
        return self.call(who, "GET", path, params=query)

    def post(self, who: str, path: str, body: Any) -> Any:
        return self.call(who, "POST", path, json=body, headers={"Idempotency-Key": uuid7()})

    def call(self, who: str, method: str, path: str, **given: Any) -> Any:
        found = self.callers[who].request(method, path, **given)
        if not found.is_success:
            raise RuntimeError(f"{method} {path}: {found.status_code} {found.text[:300]}")
        return found.json() if found.headers.get("content-type", "").startswith("application/json") else found.text

    def ask(self, who: str, **more: Any) -> Any:
        body = {"model": "feilun", "messages": [{"role": "user", "content": f"{COMMON} {next(self.fresh)}"}], **more}
        return self.post(who, "/v1/chat/completions", body)

    def asker(self) -> str:
        return person(next(self.fresh)).partition("/")[2]

    def speak(self) -> None:
        """Somebody says something of an answer of their own."""
        user = self.asker()
        self.thumb("bench", self.ask("bench", user=user)["id"], end_user=user)

    def thumb(self, who: str, answer: str, value: Any = 1, **more: Any) -> Any:
        body = {"target": {"id": answer, "index": 0}, "kind": "thumb", "value": value, **more}
        return self.post(who, "/v1/feedback", body)

    def chat(self, who: str) -> Any:
        """A question in the newest conversation, to the end of its answer."""
        thread = self.get(who, "/api/threads", limit=1)["threads"][0]["id"]
        tip = self.get(who, f"/api/threads/{thread}")["tip"]
        begun = self.post(who, "/api/chat", {"thread_id": thread, "parent": tip, "text": "还有吗?"})
        return self.get(who, f"/api/generations/{begun['id']}")

    def undone(self, who: str) -> None:
        target = self.last["answer"] = self.last.get("answer") or self.ask(who)["id"]
        given = self.thumb(who, target)["id"]
        self.thumb(who, target, None, supersedes=given)

    def judge(self, who: str) -> None:
        """A task is shown, judged, and the judgement taken back."""
        task = self.get(who, "/api/desk")["task"]
        said = self.post(who, "/api/desk/answers", {"task": task["id"], "outcome": "first"})
        undo = {"task": task["id"], "outcome": "undo", "supersedes": said["id"], "target": said["target"]}
        self.post(who, "/api/desk/answers", undo)

    def judge_pair(self) -> None:
        """The pair that waits is judged, and the judgement taken back."""
        pair = self.get("owner", "/api/rollout/pair")["pair"]
        for chosen in ("tie", "undo"):
            self.post("owner", "/api/rollout/judgement", {"pair": pair["id"], "slot": pair["slot"], "chosen": chosen})

    def look(self) -> None:
        """What the watcher does twice a second while nothing is asked for."""
        Watcher(self.home, self.store, None, USUAL).work()

    def serve_looks(self) -> None:
        """What a server looks at twice a second."""
        self.store.champion(), self.store.rollout(), self.store.erasure_epoch(), self.store.drafts.adopt(0.0)


Call = Callable[[House], Any]
NEWS = ", news"  # the end of a name: somebody speaks before each call

CALLS: dict[str, Call] = {
    "status": lambda h: h.get("owner", "/api/status"),
    f"growth{NEWS}": lambda h: h.get("owner", "/api/growth"),
    f"turn{NEWS}": lambda h: h.get("owner", "/api/turn"),
    "account of a turn": lambda h: h.get("owner", "/api/turns/turn-0/account", lang="en"),
    "rollout": lambda h: h.get("owner", "/api/rollout"),
    "blind pair": lambda h: h.get("owner", "/api/rollout/pair"),
    "blind pair, judgement, undo": House.judge_pair,
    f"teach{NEWS}": lambda h: h.get("owner", "/api/teach"),
    f"teach: worth{NEWS}": lambda h: h.get("owner", "/api/teach/worth"),
    "desk: task": lambda h: h.get("rater-9", "/api/desk"),
    "desk: task, of one with many labels": lambda h: h.get("rater-0", "/api/desk"),
    "desk: task, judgement, undo": lambda h: h.judge("rater-9"),
    f"desk: progress{NEWS}": lambda h: h.get("owner", "/api/desk/progress"),
    "engines": lambda h: h.get("owner", "/api/engines"),
    "conversations": lambda h: h.get("owner", "/api/threads"),
    "conversations, team": lambda h: h.get("team", "/api/threads"),
    "conversations before, team": lambda h: h.get("team", "/api/threads", before=time.time() - 120),
    "conversation": lambda h: h.get("owner", "/api/threads/thread-3"),
    "conversation, team": lambda h: h.get("team", "/api/threads/thread-20"),
    "search, one hit": lambda h: h.get("owner", "/api/search", q="word7"),
    "search, a common word": lambda h: h.get("owner", "/api/search", q=COMMON),
    "search, a common word, team": lambda h: h.get("team", "/api/search", q=COMMON),
    "search, nearly": lambda h: h.get("owner", "/api/search", q="苹果手机多少斤"),
    "search, nearly, team": lambda h: h.get("team", "/api/search", q="苹果手机多少斤"),
    "what the model saw": lambda h: h.get("team", "/api/completions/chatcmpl-000000020-2/context"),
    "models": lambda h: h.get("bench", "/v1/models"),
    "answer": lambda h: h.ask("bench", user=h.asker()),
    "answer, team": lambda h: h.ask("team"),
    "answer, streamed": lambda h: h.ask("bench", user=h.asker(), stream=True),
    "answer, in a conversation": lambda h: h.chat("owner"),
    "feedback and undo, team": lambda h: h.undone("team"),
    "export of a person": lambda h: export_person(h.store, h.home, [person(1)], h.home / "person.jsonl"),
    "looks of the server": House.serve_looks,
    "look of the watcher": House.look,
    f"look: is a turn due{NEWS}": lambda h: due_now(h.home, h.store, WatchSettings(by_itself=True)),
    "look: what there is to tell": lambda h: news(h.store),
    "look: rollout, shadow": lambda h: rolling.look(h.home, h.store),
    "look: rollout, canary": lambda h: rolling.look(h.home, h.store),
    "feilun status": lambda h: describe_home(h.home),
}


@contextmanager
def open_house(home: Path, num_events: int) -> Iterator[House]:
    """A filled home of this size, served by an echo."""
    champion, candidate = make_model(home, "first"), make_model(home, "second")
    fill(home, num_events, champion, candidate)
    settings = ServeSettings(port=0, answers_per_minute=0, feedback_per_minute=0)
    with Store.open(home) as store:
        store.set_champion(champion, "benchmark")
        store.desks.open("desk", {})
        secrets = {name: store.create_key(name, frozenset(scopes)).secret for name, scopes in SCOPES.items()}
        with serving(home, settings, engine_factory=lambda path, ref, _: TextChat.over(EchoEngine.load(path, model=ref))) as (url, door):
            callers = {
                name: httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secrets[name]}"}, timeout=600) for name in SCOPES
            }
            callers["owner"] = httpx.Client(base_url=url, headers={"Origin": url}, timeout=600)
            callers["owner"].get(door)
            wait_ready(callers["bench"])
            try:
                yield House(home, store, callers)
            finally:
                for caller in callers.values():
                    caller.close()


def wait_ready(caller: httpx.Client) -> None:
    end = time.monotonic() + START_SECONDS
    while caller.get("/health").json()["model"] is None:
        if time.monotonic() > end:
            raise RuntimeError(f"the server had no model within {START_SECONDS:g} seconds")
        time.sleep(0.05)


class Spent(NamedTuple):
    """Milliseconds of the clock and of the processor, which the machine's other work does not lengthen."""

    ms: float
    cpu_ms: float


def make_call(house: House, name: str) -> Spent:
    if name.endswith(NEWS):
        house.speak()
    clock, cpu = time.perf_counter(), time.process_time()
    CALLS[name](house)
    return Spent(1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - cpu))


def measured(home: Path, num_events: int, num_calls: int) -> dict[str, Spent]:
    """The median of each."""
    found = {}
    with open_house(home, num_events) as house:
        for name in CALLS:
            open_rollout(home, "canary" if name.endswith("canary") else "shadow")
            make_call(house, name)  # what only the first one pays
            spent = zip(*(make_call(house, name) for _ in range(num_calls)), strict=True)
            found[name] = Spent(*(round(statistics.median(column), 2) for column in spent))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--calls", type=int, default=7)
    options = parser.parse_args()
    ours = {}
    for num_events in options.events:
        with tempfile.TemporaryDirectory() as folder:
            ours[str(num_events)] = measured(Path(folder), num_events, options.calls)
    first, last = ours[str(options.events[0])], ours[str(options.events[-1])]
    for name in CALLS:
        print(f"{name:38} {first[name].ms:9.1f} ms {last[name].ms:9.1f} ms; CPU {first[name].cpu_ms:8.1f} ms {last[name].cpu_ms:8.1f} ms")
    slower = {name: round(last[name].cpu_ms / max(first[name].cpu_ms, 0.1), 1) for name in CALLS}
    rows = {size: {name: spent._asdict() for name, spent in found.items()} for size, found in ours.items()}
    told = {
        "benchmark": "requests",
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
        "ours": rows,
        "peers": {},
        "ratios": slower,
    }
    print(json.dumps(told, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
