"""What a page does to the chat routes, in a few words."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx


class Event(NamedTuple):
    name: str
    id: int
    data: dict[str, Any]


class Made(NamedTuple):
    """The answer of `POST /api/chat`."""

    id: str
    thread_id: str
    question: str
    num_answers: int


def post(client: httpx.Client, text: str | None = None, **fields: Any) -> Made:
    response = client.post("/api/chat", json={"text": text, **fields})
    assert response.status_code == 200, response.text
    return Made(**response.json())


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """Events of a stream as they come."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield Event(fields["event"], int(fields["id"]), json.loads(fields["data"]))
            fields = {}


def events_of(client: httpx.Client, generation_id: str) -> list[Event]:
    response = client.get(f"/api/generations/{generation_id}")
    assert response.status_code == 200, response.text
    return list(parsed(iter(response.text.splitlines())))


def shown(events: list[Event]) -> list[tuple[list[str], int]]:
    """(blocks, num_chars) of each answer that a page shows after these events."""
    answers = [(list(answer["blocks"]), answer["num_chars"]) for answer in events[0].data["answers"]]
    for event in events[1:]:
        if event.name == "blocks":
            blocks = answers[event.data["index"]][0][: event.data["from"]] + event.data["blocks"]
            answers[event.data["index"]] = (blocks, event.data["num_chars"])
    return answers


def said(client: httpx.Client, text: str | None = None, **fields: Any) -> dict[str, Any]:
    """Ask, wait for the end, and give the end with the ids that belong to it."""
    made = post(client, text, **fields)
    last = events_of(client, made.id)[-1]
    assert last.name == "end", last
    return {**made._asdict(), **last.data}


def thread(client: httpx.Client, thread_id: str) -> dict[str, Any]:
    response = client.get(f"/api/threads/{thread_id}")
    assert response.status_code == 200, response.text
    return response.json()


def outline(client: httpx.Client, thread_id: str) -> list[tuple[str, str]]:
    """(text of the parent, text) of every message."""
    messages = thread(client, thread_id)["messages"]
    texts = {thread_id: "", **{message["address"]: message["text"] for message in messages}}
    return [(texts[message["parent"]], message["text"]) for message in messages]
