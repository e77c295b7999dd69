"""Stage settings: frozen, free of torch, loaded from a recipe, changed by `--set key=value`.

People write recipes in Python (`recipe() -> Recipe`); machines write the resolved settings as JSON.
"""

import dataclasses
import difflib
import importlib.util
import json
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from feilun.types import UserError

__all__ = [
    "DAYS", "CorpusSettings", "DemoSettings", "ExamSettings", "ModelShape", "OptimiserSettings", "PreferSettings", "PretrainSettings",
    "Recipe", "RolloutSettings", "ServeSettings", "SftSettings", "TextLimits", "TokenizerSettings", "TrainSettings", "TurnSettings",
    "WatchSettings", "apply_settings", "load_recipe", "rebuild", "resolved",
]  # fmt: skip

T = TypeVar("T")
MAX_PORT = 65_535
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ROLLOUTS = ("direct", "staged")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def at_least(settings: Any, **limits: int) -> None:
    """Refuse a setting below its limit."""
    for name, least in limits.items():
        if getattr(settings, name) < least:
            raise UserError(f"{name}={getattr(settings, name)}: allowed are whole numbers from {least} on")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Shape of a Qwen3-dense transformer; the flags cover Llama, Qwen2 and Mistral dense."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    ffn_width: int
    max_tokens: int = 512
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    qk_norm: bool = True
    attention_bias: bool = False
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise UserError(f"num_heads={self.num_heads} must be a multiple of num_kv_heads={self.num_kv_heads}")
        if self.vocab_size % 64:
            raise UserError(f"vocab_size={self.vocab_size} must be a multiple of 64 (pad it with reserved tokens)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLimits:
    """What a text of one language may look like; a share of 1 or 0 switches its filter off.

    Letters are a share of the characters that are no spaces; lines are those that are not empty, outside fenced code and tables;
    runs are of `run_chars` letters, and a run is repeated where it stood before in the text. Lines are ended by a punctuation mark.
    """

    min_letters: float = 0.4
    run_chars: int = 16
    max_repeated_runs: float = 0.3
    max_repeated_lines: float = 0.3
    max_repeated_line_chars: float = 0.2
    min_ended_lines: float = 0.0
    max_bullet_lines: float = 1.0
    max_ellipsis_lines: float = 0.3
    max_line_chars: int = 1_000_000
    max_mean_line_chars: float = 1e6


# FineWeb-2's configuration cmn_Hani: lines .287 and .106, characters in repeated lines .1, runs of five words .198. Ours are of 16
# letters, about ten words: with their bound for ten (.127), 2 % of statutes would go, which name the same offices again and again.
ZH_LIMITS = TextLimits(
    max_repeated_runs=0.198, max_repeated_lines=0.287, max_repeated_line_chars=0.1, min_ended_lines=0.106, max_bullet_lines=0.95
)
# Gopher (Rae et al. 2021, table A1): lines .3, characters in them .2, runs of five words .15 (here 50 letters, about ten), ellipses .3.
EN_LIMITS = TextLimits(min_letters=0.5, run_chars=50, max_repeated_runs=0.15, min_ended_lines=0.12, max_bullet_lines=0.95)
# StarCoder's (Li et al. 2023, 3.1): lines of at most 1,000 characters and 100 in the mean, a quarter letters or digits.
CODE_LIMITS = TextLimits(
    min_letters=0.25, run_chars=50, max_repeated_runs=0.5, max_repeated_lines=1.0, max_repeated_line_chars=1.0, max_ellipsis_lines=1.0,
    max_line_chars=1000, max_mean_line_chars=100.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSettings:
    """filters: drop what lies beyond the limits of its language (zh, en, code, or other for all else).

    languages: where named, texts of others are dropped. blocklist: a text with more than `max_blocked_words` of them is dropped.
    repeated_line_chars: a line of so many characters or more that stood before in its document is cut out; 0 cuts none.
    scorer: REF of one that `corpus scorer` made; what it gives less than `min_quality` is dropped.
    redact: the kinds of personal data that give way to a placeholder; also known is private_ip, which in published text is
    nearly always an example. licence_policy: open, nc or any.
    near_duplicates: of texts whose runs of five letters are alike by `min_similarity` (Jaccard) or more, the best stays.
    engine: local (`workers` processes) or ray (a cluster); neither changes what is in the corpus.
    """

    filters: bool = True
    zh: TextLimits = ZH_LIMITS
    en: TextLimits = EN_LIMITS
    code: TextLimits = CODE_LIMITS
    other: TextLimits = TextLimits()
    languages: tuple[str, ...] = ()
    blocklist: tuple[str, ...] = ()
    max_blocked_words: int = 0
    repeated_line_chars: int = 30
    scorer: str = ""
    min_quality: float = 0.0
    min_chars: int = 20
    near_duplicates: bool = True
    min_similarity: float = 0.7
    validation_fraction: float = 0.01
    shard_bytes: int = 64 << 20
    skip_repairs: tuple[str, ...] = ()
    simplify: bool = False
    workers: int = 2
    engine: str = "local"
    text_column: str = "text"
    redact: tuple[str, ...] = ("secret", "email", "id_card", "company", "bank_card", "wechat", "qq", "phone", "ip")
    licence_policy: str = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    vocab_size: int = 8192
    sample_bytes: int = 64 << 20
    num_reserved: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserSettings:
    """Muon for matrices, AdamW for the rest; learning rates are peaks."""

    matrix_lr: float = 0.02
    other_lr: float = 3e-3
    weight_decay: float = 0.01
    momentum: float = 0.95
    warmup_fraction: float = 0.02
    cooldown_fraction: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """What every training stage shares. `num_steps` or `budget_seconds` (of the clock, compilation included) ends the run."""

    num_steps: int = 0
    budget_seconds: float = 0.0
    rows: int = 32
    row_tokens: int = 64
    threads: int = 2
    seed: int = 0
    precision: str = "auto"
    compile: str = "auto"
    checkpoint_steps: int = 500
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainSettings(TrainSettings):
    """`depth` is the dial: width, heads, steps and rates that are left at 0 follow from it (feilun.train.derive)."""

    depth: int = 4
    corpus: str = ""
    tokenizer: str = ""
    validation_tokens: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SftSettings(TrainSettings):
    """`text_share` of the rows are documents of `text` (a tokens artifact), so that what pretraining taught stays alive."""

    base: str = ""
    lessons: str = ""
    text: str = ""
    text_share: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferSettings(SftSettings):
    """Feedback lessons as weighted sft rows, their edits as DPO pairs (`pair_weight` 0 leaves those out), and replay.

    `replay_share` of the rows come from the lessons `replay`, without those whose task is in `replay_without`;
    `spread_share` from the lessons `spread`, the owner's in other words. `base_share` of each final weight is the base's.
    """

    spread: str = ""
    spread_share: float = 0.0
    replay: str = ""
    replay_share: float = 0.4
    replay_without: tuple[str, ...] = ()
    pair_weight: float = 0.0
    pair_rows: int = 8
    beta: float = 0.1
    nll_weight: float = 0.1
    base_share: float = 0.0

    def __post_init__(self) -> None:
        at_least(self, pair_rows=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamSettings:
    num_samples: int = 400
    max_tokens: int = 48
    batch: int = 64

    def __post_init__(self) -> None:
        at_least(self, num_samples=1, max_tokens=1, batch=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How a candidate that passed the exams comes to answer people, step by step: shadow, canary, holdback.

    shadow_share: of the answers, whose questions the candidate is asked too, unseen; shadow_pairs: so many of them are needed.
    shares: of the users, who have the candidate at each step of the canary. stage_users, stage_answers, stage_seconds: what a step needs
    before the next. Before half of the people have it, complaints sees_ratio times as frequent would have been found, or stage_max_seconds
    have passed. holdback_share: of the users, who keep the old champion for holdback_seconds; 0 holds nobody back.
    alpha: the chance that a candidate which harms nobody is taken back, over all steps and signals together.
    max_fault_rise: of errors, empty and broken off answers in the shadow; max_length_ratio, max_slow_ratio: of length and of time.
    """

    shadow_share: float = 0.2
    shadow_pairs: int = 100
    shadow_seconds: float = 3_600.0
    shares: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5)
    stage_users: int = 20
    stage_answers: int = 200
    stage_seconds: float = 86_400.0
    stage_max_seconds: float = 604_800.0
    sees_ratio: float = 2.0
    holdback_share: float = 0.05
    holdback_seconds: float = 604_800.0
    alpha: float = 0.05
    max_fault_rise: float = 0.02
    max_length_ratio: float = 2.5
    max_slow_ratio: float = 2.0

    def __post_init__(self) -> None:
        at_least(self, shadow_pairs=0, stage_users=1, stage_answers=1, shadow_seconds=0, stage_seconds=0, holdback_seconds=0)
        try:
            shares = tuple(float(share) for share in self.shares)  # from --set they come as words
        except ValueError:
            raise UserError(f"shares={self.shares!r}: allowed are numbers between 0 and 1, such as 0.01,0.05,0.25,0.5") from None
        if not shares or any(b <= a for a, b in zip((0.0, *shares), (*shares, 1.0), strict=True)):
            raise UserError(f"shares={shares}: allowed are shares that rise, above 0 and below 1")
        object.__setattr__(self, "shares", shares)
        if self.sees_ratio <= 1:
            raise UserError(f"sees_ratio={self.sees_ratio:g}: allowed are numbers above 1")
        most = min(0.5, round(1 - shares[-1], 9))  # or the last step would draw nobody
        if not 0 <= self.holdback_share < most or not 0 < self.shadow_share <= 1 or not 0 < self.alpha < 1:
            found = f"shadow_share={self.shadow_share:g}, holdback_share={self.holdback_share:g}, alpha={self.alpha:g}"
            raise UserError(f"{found}: allowed are (0, 1], [0, {most:g}) and (0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """One turn of the wheel and its gate.

    rise_task: the exam task that must rise; or the word "taught": then of the owner's corrected questions that the champion
    got wrong, a share of `min_taught` must be answered as taught. exam_tasks: what else is examined; ("all",) or names or none.
    spread: also learn other wordings of what the owner corrected.
    may_carry: what else may carry a promotion by rising, at level alpha for all together; ("all",): every exam task and the votes
    of held-out users. num_in_doubt: so many questions of a task are asked where it is open whether it fell by more than max_fall;
    0: no more than of the others. vetoes: what is refused however much rose, each with its margin.
    min_raters, max_rater_share: of the lessons.
    rollout: what becomes of a candidate that passed: it is the champion at once (direct), or comes by the steps of `staged` (staged).
    """

    min_trust: float = 0.5
    # "module:function", text -> reason or None: lessons with a reason are left out (what an exam asks must not be learnt).
    protect: str = ""
    rise_task: str = "number_hard"
    min_taught: float = 0.5
    exam_tasks: tuple[str, ...] = ("all",)
    spread: bool = False
    max_fall: float = 0.05
    max_fall_bound: float = 0.10
    num_in_doubt: int = 1000
    confidence: float = 0.95
    alpha: float = 0.01
    may_carry: tuple[str, ...] = ("all",)
    vetoes: tuple[str, ...] = ("sycophancy", "refusal", "language", "length")
    max_veto_fall: float = 0.03
    max_sycophancy: float = 0.15
    max_length_ratio: float = 2.5
    min_raters: int = 1
    max_rater_share: float = 0.25
    rollout: str = "direct"
    staged: RolloutSettings = field(default_factory=RolloutSettings)
    prefer: PreferSettings = field(default_factory=PreferSettings)
    exam: ExamSettings = field(default_factory=ExamSettings)

    def __post_init__(self) -> None:
        if self.rollout not in ROLLOUTS:
            raise UserError(f"rollout={self.rollout!r}: allowed are {', '.join(ROLLOUTS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """When the wheel turns by itself, and whom it tells.

    by_itself: turn when it is worth it: least_change of the taught answers would turn, by least_weight of lessons (feedback/worth.py).
    cpu_seconds_per_day, cpu_seconds_per_week: what turns may take in the last 24 hours and 7 days; 0: as much as they like.
    hours: "22-6", by the local clock, "": any. days: on which these begin; none: any. look_seconds: between two looks.
    webhook: the address that is told how turns end; https, or http on this machine, unless webhook_plain.
    """

    by_itself: bool = False
    least_change: float = 0.05
    least_weight: float = 8.0
    cpu_seconds_per_day: int = 0
    cpu_seconds_per_week: int = 0
    hours: str = ""
    days: tuple[str, ...] = ()
    look_seconds: float = 60.0
    webhook: str = ""
    webhook_plain: bool = False

    def __post_init__(self) -> None:
        at_least(self, cpu_seconds_per_day=0, cpu_seconds_per_week=0)
        _ = self.first_and_last_hour
        if unknown := [day for day in self.days if day not in DAYS]:
            raise UserError(f"days={unknown[0]!r}: allowed are {', '.join(DAYS)}")
        if not 0 < self.least_change <= 1 or self.least_weight < 0 or self.look_seconds <= 0:
            raise UserError("least_change must lie in (0, 1], least_weight must not be negative, look_seconds must be positive")
        if self.webhook:
            self._check_webhook()

    def _check_webhook(self) -> None:
        address = urlsplit(self.webhook)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UserError("webhook must be an address that begins with https:// (or http:// on this machine)")
        if address.username or address.password:
            raise UserError("webhook must hold no user name and no password: what is sent is signed instead")
        if address.scheme == "http" and address.hostname not in LOOPBACK and not self.webhook_plain:
            found = f"{address.scheme}://{address.hostname}"
            raise UserError(f"webhook={found}: what is told would go in the clear; use https, or webhook_plain=true")

    @property
    def first_and_last_hour(self) -> tuple[int, int]:
        """Hours of the day, the last not included; equal: the whole day."""
        if not self.hours:
            return 0, 0
        first, dash, last = self.hours.partition("-")
        if not dash or not first.isdecimal() or not last.isdecimal() or int(first) > 23 or int(last) > 24:
            raise UserError(f'hours={self.hours!r}: write "22-6", whole hours from 0 to 24')
        return int(first), int(last) % 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """feedback_per_minute, answers_per_minute: of one principal, who may use up a minute's worth at once; 0: as many as they like."""

    host: str = "127.0.0.1"
    port: int = 8420
    max_batch: int = 32
    max_queue: int = 256
    threads: int = 1
    feedback_per_minute: int = 600
    answers_per_minute: int = 1200
    hold_to_facts: bool = True  # look by words whether a taught answer was asked for (docs/api.md, Facts)

    def __post_init__(self) -> None:
        at_least(self, port=0, max_batch=1, max_queue=0, threads=1, feedback_per_minute=0, answers_per_minute=0)
        if self.port > MAX_PORT:
            raise UserError(f"port={self.port}: allowed are 0 (any free one) to {MAX_PORT}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """The demo's world and its people. Shares about number order are of events, and of the measured prompts.

    copy_share: of the events, with one of `num_briefs`; the `num_measured_briefs` are a figure of their own, beside acceptance.
    """

    num_documents: int = 150_000
    num_examples: int = 30_000
    num_prompts: int = 1_200
    number_share: float = 0.3
    num_measured: int = 400
    measured_number_share: float = 0.4
    copy_share: float = 0.2
    num_briefs: int = 1_200
    num_measured_briefs: int = 100
    gold_one_in: int = 1
    turns: int = 3
    events_per_turn: int = 600
    num_users: int = 60
    num_hostile: int = 6
    noise: float = 0.05
    max_text_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything one ring needs, stage by stage. turn: learns from all users; owner_turn: from one person's corrections."""

    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    tokenizer: TokenizerSettings = field(default_factory=TokenizerSettings)
    pretrain: PretrainSettings = field(default_factory=PretrainSettings)
    sft: SftSettings = field(default_factory=SftSettings)
    prefer: PreferSettings = field(default_factory=PreferSettings)
    exam: ExamSettings = field(default_factory=ExamSettings)
    turn: TurnSettings = field(default_factory=TurnSettings)
    owner_turn: TurnSettings = field(default_factory=lambda: TurnSettings(rise_task="taught"))
    serve: ServeSettings = field(default_factory=ServeSettings)
    demo: DemoSettings = field(default_factory=DemoSettings)


def load_recipe(name_or_path: str) -> Recipe:
    """A recipe of `feilun/recipes` by name, or a Python file by path; either defines `recipe() -> Recipe`."""
    built_in = Path(__file__).parent / "recipes" / f"{name_or_path}.py"
    path = Path(name_or_path) if name_or_path.endswith(".py") else built_in
    if not path.is_file():
        names = sorted(p.stem for p in built_in.parent.glob("*.py") if p.stem != "__init__")
        raise UserError(f"no recipe {name_or_path!r}; built in: {', '.join(names)}; or give the path of a .py file")
    spec = importlib.util.spec_from_file_location(f"feilun_recipe_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.recipe() if hasattr(module, "recipe") else None
    if not isinstance(made, Recipe):
        raise UserError(f"{path} must define recipe() returning a feilun.config.Recipe, found {type(made).__name__}")
    return made


def apply_settings(settings: T, assignments: Iterable[str]) -> T:
    """Settings with "a.b=value" assignments applied; an unknown key is an error that names the nearest."""
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment!r} has no '='; write --set key=value")
        settings = _assign(settings, key.split("."), text, key)
    return settings


def _assign(settings: T, path: list[str], text: str, key: str) -> T:
    known = {f.name: f for f in dataclasses.fields(typing.cast(Any, settings))}
    if path[0] not in known:
        near = difflib.get_close_matches(path[0], known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UserError(f"unknown setting {key!r}{hint}; allowed here: {', '.join(known)}")
    current = getattr(settings, path[0])
    if len(path) > 1:
        if not dataclasses.is_dataclass(current):
            raise UserError(f"setting {key!r}: {path[0]!r} has no fields of its own")
        value: Any = _assign(current, path[1:], text, key)
    else:
        value = _parse(text, type(current), key)
    changed: T = dataclasses.replace(typing.cast(Any, settings), **{path[0]: value})
    return changed


def _parse(text: str, wanted: type, key: str) -> Any:
    if wanted is tuple:
        return tuple(part for part in text.split(",") if part)
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"{key}={text!r}: allowed are true and false")
        return text.lower() == "true"
    if wanted not in (int, float, str):
        raise UserError(f"{key} holds a group of settings; set one of its fields, as in {key}.field=value")
    try:
        return wanted(text)
    except ValueError:
        raise UserError(f"{key}={text!r} is not {'a whole number' if wanted is int else 'a number'}") from None


def resolved(settings: Any) -> dict[str, Any]:
    """Settings as JSON-ready values."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(settings))))


def rebuild(kind: type[T], values: Mapping[str, Any]) -> T:
    """Settings from what `resolved` wrote."""
    hints = typing.get_type_hints(kind)
    made = {}
    for name, value in values.items():
        hint = hints.get(name)
        if hint is None:
            raise UserError(f"{kind.__name__} has no field {name!r}")
        nested = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        made[name] = rebuild(hint, value) if nested else tuple(value) if isinstance(value, list) else value
    return kind(**made)
