"""What the store takes and gives: frozen rows, and the errors that a door turns into an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from feilun.store.identity import subject_of, thread_hash
from feilun.types import Consent, Decision, UserError

Status = Literal["recorded", "duplicate", "superseded"]
TurnState = Literal["running", "promoted", "refused", "failed", "rolling_out"]
Arm = Literal["champion", "candidate"]
StepStatus = Literal["pending", "running", "done", "failed"]

KINDS = ("thumb", "edit", "choice", "comment", "report", "implicit")
REASONS = ("wrong", "language", "too_long", "too_short", "style", "unsafe", "made_up", "other")
EXPIRED = "expired"  # the subject of an erasure by age, which nobody asked for
WHOLE = ""  # the thread of an erasure that is about everything of a principal
SCOPES = ("chat", "feedback", "assert_end_user", "exam", "desk")


class StoreError(UserError):
    """What the store refuses. `http_status` is the answer a door gives."""

    http_status = 400


class NotFound(StoreError):
    http_status = 404


class NotYours(StoreError):
    http_status = 403


class KeyConflict(StoreError):
    """An idempotency key came again with another body."""

    http_status = 409


class InvalidFeedback(StoreError):
    http_status = 422


class Conflict(StoreError):
    """The row is not in the state that the caller expected (epoch, lease, running turn, taken name)."""

    http_status = 409


class StoreUnavailable(StoreError):
    """Nothing was written: the file is locked, full or not writable. Trying again later is safe."""

    http_status = 503


class NewKey(NamedTuple):
    """A fresh API key; `secret` is shown here once and never stored."""

    name: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    name: str
    scopes: frozenset[str]
    created: float
    revoked: float | None = None


class Exposure(NamedTuple):
    """Who spoke in a rollout, and by what lot. who: a hash that is only of this rollout. fault: "", "error" or "empty".

    phase, step: where the rollout was then. lot: the chance of the candidate for this person at this step, 1 where an earlier step gave it.
    """

    rollout_id: str
    who: str
    phase: str
    step: int
    lot: float
    arm: Arm
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRecord:
    """One answered request. messages: {"role", "content"}; choices: {"index", "text", "finish_reason", "num_tokens"}.

    num_quoted: so many first messages repeat what was said before, perhaps as corrected since, and are not searched again.
    exposure: where a rollout decided who speaks.
    """

    id: str
    principal: str
    model: str
    thread_id: str
    messages: list[dict[str, Any]]
    choices: list[dict[str, Any]]
    decision: Decision
    end_user: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    consent: Consent = Consent.IMPROVE
    started: float = 0.0
    finished: float = 0.0
    num_quoted: int = 0
    exposure: Exposure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRequest:
    """One act of one rater, as it comes over the wire. Without an idempotency key every call is a new event.

    value None with `supersedes` takes that event back; the kind and the target must be the same.
    """

    principal: str
    target_id: str
    kind: str
    value: Any
    target_index: int = 0
    reason: tuple[str, ...] = ()
    consent: Consent = Consent.IMPROVE
    idempotency_key: str | None = None
    supersedes: str | None = None


class FeedbackResult(NamedTuple):
    id: str
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event of the log. An erased event keeps seq, id and kind; principal, value and reason are emptied."""

    seq: int
    id: str
    at: float
    principal: str
    target_id: str
    target_index: int
    kind: str
    value: Any
    reason: tuple[str, ...]
    consent: Consent
    supersedes: str | None
    erased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """An answer that a choice was made over, and the model that gave it."""

    id: str
    index: int
    text: str
    model: str


class Echoes(NamedTuple):
    """Earlier votes that say the very same as another, oldest first, column by column."""

    seqs: Sequence[int] = ()
    ids: Sequence[str] = ()
    ats: Sequence[float] = ()
    target_ids: Sequence[str] = ()
    thread_ids: Sequence[str] = ()


class CurrentVote(NamedTuple):
    """An event that stands now, joined with what it is about.

    prompt: the messages before the answer. consent: the narrower of the event's and the completion's.
    over: the other answers of a choice, empty for every other kind. echoes: the votes that this one stands for, where it was folded.
    """

    seq: int
    id: str
    at: float
    principal: str
    target_id: str
    target_index: int
    kind: str
    value: Any
    reason: tuple[str, ...]
    consent: Consent
    thread_id: str
    model: str
    prompt: tuple[Mapping[str, Any], ...]
    answer: str
    over: tuple[Sibling, ...] = ()
    echoes: Echoes = Echoes()

    @property
    def times(self) -> int:
        return 1 + len(self.echoes.seqs)

    @property
    def ids(self) -> list[str]:
        return [*self.echoes.ids, self.id]

    @property
    def target_ids(self) -> list[str]:
        return [*self.echoes.target_ids, self.target_id]


class Giver(NamedTuple):
    """Events that one principal gave alike, by id. consent: the word; principal: empty where the events were erased (1)."""

    principal: str
    consent: str
    erased: int
    event_ids: list[str]


class EventCounts(NamedTuple):
    """Events of the log: all, erased, and those that only took another back."""

    all: int
    erased: int
    retracting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionRow:
    """restores: the epoch that a rollback went back to, None for a promotion."""

    epoch: int
    model: str
    reason: str
    at: float
    restores: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """A step of a turn and its lease. heartbeat: seconds since the epoch, 0 before the first claim."""

    step: str
    status: StepStatus
    owner: str = ""
    heartbeat: float = 0.0
    input_hash: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow:
    id: str
    state: TurnState
    plan: dict[str, Any]
    steps: dict[str, StepRow]
    why: str
    started: float
    finished: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptRow:
    """What a gate of a turn saw and said. gate: "plan", "g0", "g1", and of its rollout "rollout", "g2", "g3", "g4".

    previous: the hash of the receipt before, of whatever turn.
    """

    turn_id: str
    gate: str
    body: dict[str, Any]
    previous: str
    hash: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What `forget` emptied: the ids stay, so that manifests which name them can be found. subject, thread: hashes of whose it was."""

    event_ids: tuple[str, ...]
    completion_ids: tuple[str, ...]
    at: float
    subject: str = ""
    thread: str = WHOLE

    def covers(self, principal: str, thread_id: str, started: float) -> bool:
        """Whether what this principal began then, in this conversation, went with it."""
        about = self.thread in (WHOLE, thread_hash(principal, thread_id))
        return about and self.subject == subject_of(principal) and started <= self.at


class OldThread(NamedTuple):
    principal: str
    thread_id: str
    at: float


class OldEvent(NamedTuple):
    id: str
    principal: str
    thread_id: str
    at: float


class ThreadRow(NamedTuple):
    """A conversation in a list. title: the beginning of its first question. at: when its newest answer ended."""

    id: str
    title: str
    at: float
    num_answers: int


class Standing(NamedTuple):
    """What its reader says of an answer now. edit: the text that stands in its place, given by the event `edit_id`."""

    thumb: int = 0
    reason: tuple[str, ...] = ()
    edit: str | None = None
    edit_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The completion that gave an answer. seconds: from the question to its end."""

    id: str
    index: int
    model: str
    engine: str
    finish_reason: str
    num_tokens: int
    seconds: float
    consent: str
    standing: Standing


class ShownMessage(NamedTuple):
    """A message as a page shows it: what was asked under an edited answer hangs under that answer, whatever its text was then.

    address: hash of the shown parent, role and text. parent: the thread's id for a first message. stored: the messages that it stands for.
    asked: those of them that were answered, the one answered last at the end.
    """

    address: str
    parent: str
    role: str
    text: str
    at: float
    answer: Answered | None
    stored: tuple[str, ...]
    asked: tuple[str, ...] = ()


class Talk(NamedTuple):
    """A conversation that was not erased, without its words. consents: address of a question -> the narrowest consent it was asked with."""

    principal: str
    thread_id: str
    completion_ids: tuple[str, ...]
    consents: Mapping[str, Consent]


class Thread(NamedTuple):
    """A whole conversation. messages: parents first, siblings in order of time. consent: of its newest completion."""

    id: str
    title: str
    consent: Consent
    messages: tuple[ShownMessage, ...]


class Hit(NamedTuple):
    """A message that a search found. marks: (start, end) of each place in `text`, in order; address as a page shows it."""

    thread_id: str
    title: str
    address: str
    role: str
    text: str
    marks: tuple[tuple[int, int], ...]
    at: float
