"""What one running server holds."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastapi import Request

from feilun.config import ServeSettings
from feilun.serve.champion import Models
from feilun.serve.mirror import Mirrors
from feilun.serve.paced import Paced
from feilun.serve.rate import Rate
from feilun.serve.traffic import Traffic
from feilun.store import Erasure, Store

__all__ = ["State", "state_of"]


if TYPE_CHECKING:
    from feilun.feedback.raters import Raters
    from feilun.feedback.worth import Worth
    from feilun.serve.live import Lives
    from feilun.serve.teach import Preparing


class Cancellable(Protocol):
    def cancel(self) -> None: ...

    def is_erased_by(self, erasure: Erasure) -> bool: ...


@dataclass(slots=True, kw_only=True)
class State:
    """in_flight: (principal, completion id) -> an event that is set once the completion stands in the store.

    writers: threads that wait for commits. lives: the generations that a page may attach to. feedback_rate, answer_rate: of each principal.
    preparing: the search for questions to teach by. worth, raters: read from the whole history, so kept.
    """

    home: Path
    settings: ServeSettings
    store: Store
    models: Models
    writers: Executor
    lives: "Lives"
    traffic: Traffic
    mirrors: Mirrors
    feedback_rate: Rate
    answer_rate: Rate
    preparing: "Preparing"
    worth: "Paced[Worth]" = field(default_factory=Paced)
    raters: "Paced[Raters]" = field(default_factory=Paced)
    in_flight: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)
    generations: set[Cancellable] = field(default_factory=set)


def state_of(request: Request) -> State:
    state: State = request.app.state.feilun
    return state
