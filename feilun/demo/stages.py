"""The first generation, stage by stage: each runs in a child process, and each finds again what it made before."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from feilun.artifacts import Artifact, draft, find, list_artifacts, write_rows, write_secret
from feilun.config import ExamSettings, Recipe, TurnSettings, load_recipe, resolved
from feilun.demo.state import DemoState, read_state
from feilun.primer.numbers import reserved_reason
from feilun.store import Store, new_secret
from feilun.types import Document, UserError

__all__ = ["FIRST_STAGES", "owner_turn_settings", "run_demo_stage", "turn_settings", "write_prompt_files"]

NAME = "demo"
OWNER_SEED = 500  # beyond the numbers of the demo's own turns
MAX_PIECE_CHARS = 2000
MIN_PIECE_CHARS = 100
TOLD_PARTS = 50


def run_demo_stage(home: Path, stage: str) -> None:
    """Do one stage of `FIRST_STAGES` and print the ref of what it made as the last line."""
    if stage not in FIRST_STAGES:
        raise UserError(f"stage {stage!r} is unknown; allowed: {', '.join(FIRST_STAGES)}")
    state = read_state(home)
    made = FIRST_STAGES[stage](state, load_recipe(state.told["recipe"]))
    print(f"{made.kind}/{made.ref}")


def make_corpus(state: DemoState, recipe: Recipe) -> Artifact:
    """The primer's documents, and the user's own text up to the cap."""
    from feilun.corpus import build_from_documents
    from feilun.primer.text import documents

    seed, count = state.told["seed"], recipe.demo.num_documents
    generator = {"primer": "documents", "seed": seed, "count": count, "text": state.told["text"]}
    for made in list_artifacts(state.home, "corpus"):
        if made.name == NAME and made.manifest["recipe"].get("generator") == generator:
            return made
    own = OwnText(state, recipe)
    primer = Counted(documents(seed, count))
    source = chain(primer, own)
    made = build_from_documents(
        state.home, NAME, source, recipe.corpus, parents=own.parents, generator=generator, protect=reserved_reason,
        progress=lambda *_: tell(primer.num_documents, count),
    )  # fmt: skip
    if own.parents:
        say(own.told(primer.num_bytes))
    return made


class Counted:
    """Documents as they go by, and how many and how large they were so far."""

    def __init__(self, documents: Iterable[Document]):
        self.documents, self.num_bytes, self.num_documents = documents, 0, 0

    def __iter__(self) -> Iterator[Document]:
        for document in self.documents:
            self.num_bytes += len(document.text.encode())
            self.num_documents += 1
            yield document


class OwnText(Counted):
    """The user's documents in pieces, no more than the cap; and the bytes of those that hold a reserved pair."""

    def __init__(self, state: DemoState, recipe: Recipe):
        from feilun.corpus import build_corpus, read_documents

        self.found_bytes, self.max_bytes = sum(item["bytes"] for item in state.told["text"]), recipe.demo.max_text_bytes
        self.parents: list[str] = []
        started = time.monotonic()
        documents: Iterator[Document] = iter(())
        if state.told["text"]:
            corpus = build_corpus(state.home, "text", [Path(item["path"]) for item in state.told["text"]], recipe.corpus)
            self.parents, documents = [f"corpus/{corpus.ref}"], read_documents(corpus)
        self.seconds = time.monotonic() - started
        self.aside_bytes = 0
        super().__init__(pieces(documents, self.max_bytes))

    def __iter__(self) -> Iterator[Document]:
        for document in super().__iter__():
            if reserved_reason(document.text) is not None:
                self.aside_bytes += len(document.text.encode())
            yield document

    def told(self, primer_bytes: int) -> str:
        used_bytes = self.num_bytes - self.aside_bytes
        share = used_bytes / max(1, used_bytes + primer_bytes)
        aside = f"{self.aside_bytes:,} set aside (numbers that only exams may compare), " if self.aside_bytes else ""
        return (
            f"your text: {self.found_bytes:,} bytes found, {aside}{used_bytes:,} used (the cap is {self.max_bytes:,}), {share:.0%} of "
            f"the corpus; cleaning it took {self.seconds:.1f} s, and making the tokenizer and the tokens takes longer by its share. "
            f"Training takes as many steps as without it: it costs no more time there, and the primer is read about {share:.0%} less."
        )


def pieces(documents: Iterable[Document], max_bytes: int) -> Iterator[Document]:
    """Pieces of documents, until the next one would pass `max_bytes` in all."""
    used = 0
    for document in documents:
        for number, text in enumerate(split_text(document.text)):
            used += len(text.encode())
            if used > max_bytes:
                return
            yield dataclasses.replace(document, id=f"{document.id}-{number}", text=text)


def split_text(text: str) -> Iterator[str]:
    """Pieces of at most MAX_PIECE_CHARS, smaller where a reserved pair stands, so that it costs a paragraph and not a book."""
    waiting = [text]
    while waiting:
        piece = waiting.pop()
        if len(piece) > MAX_PIECE_CHARS:
            place = cut_place(piece, MAX_PIECE_CHARS)
        elif len(piece) > MIN_PIECE_CHARS and reserved_reason(piece) is not None:
            place = cut_place(piece, len(piece) // 2)
        else:
            yield piece
            continue
        waiting += [piece[place:], piece[:place]]


def cut_place(text: str, limit: int) -> int:
    """At most `limit`: after a line, a sentence or a word if one ends in the second half before it."""
    ends = (text.rfind(end, limit // 2, limit) + 1 for end in ("\n", "。", " "))
    return next((place for place in ends if place), limit)


def make_tokenizer(state: DemoState, recipe: Recipe) -> Artifact:
    from feilun.tokenizer import train_tokenizer

    return train_tokenizer(state.home, NAME, state.refs["corpus"], recipe.tokenizer)


def make_tokens(state: DemoState, recipe: Recipe) -> Artifact:
    from feilun.train.sources import build_tokens

    total = find(state.home, state.refs["corpus"], "corpus").manifest["counts"]["documents"]["train"]
    furthest = 0

    def told(done: int, _num_bytes: int) -> None:
        nonlocal furthest
        if done - furthest >= total / TOLD_PARTS:  # the small validation part comes last and counts from 0: it is not told
            furthest = done
            tell(done, total)

    return build_tokens(state.home, state.refs["corpus"], state.refs["tokenizer"], progress=told)


def make_examples(state: DemoState, recipe: Recipe) -> Artifact:
    from feilun.primer.dialogues import examples

    seed, count = state.told["seed"], recipe.demo.num_examples
    with draft(state.home, "lessons", "examples", recipe={"primer": "examples", "seed": seed, "count": count}) as work:
        rows = list(examples(seed, count))
        write_rows(work.path / "sft.jsonl", rows)
        work.counts |= {"rows": len(rows), "questions": count}
    assert work.artifact is not None
    return work.artifact


def make_base(state: DemoState, recipe: Recipe) -> Artifact:
    from feilun.train.run import train_pretrain

    settings = dataclasses.replace(recipe.pretrain, corpus=state.refs["corpus"], tokenizer=state.refs["tokenizer"], seed=state.told["seed"])
    return train_pretrain(state.home, settings, "base", progress=reporter(), say=say)


def make_first(state: DemoState, recipe: Recipe) -> Artifact:
    from feilun.train.run import train_sft

    settings = dataclasses.replace(
        recipe.sft, base=state.refs["pretrain"], lessons=state.refs["examples"], text=state.refs["tokens"], seed=state.told["seed"]
    )
    return train_sft(state.home, settings, "first", progress=reporter(), say=say)


Stage = Callable[[DemoState, Recipe], Artifact]
FIRST_STAGES: Mapping[str, Stage] = {
    "corpus": make_corpus, "tokenizer": make_tokenizer, "tokens": make_tokens, "examples": make_examples,
    "pretrain": make_base, "sft": make_first,
}  # fmt: skip


def say(text: str) -> None:
    print(text, flush=True)


def tell(done: int, total: int) -> None:
    """How far a stage without steps is, as a line that the parent understands."""
    print("@" + json.dumps({"done": done, "total": total}), flush=True)


def reporter() -> Callable[[Any], None]:
    """Training progress as JSON lines, which the parent turns into a bar and a note for the page."""

    def report(progress: Any) -> None:
        row = {"done": progress.step, "total": progress.num_steps, "eta": progress.eta_seconds, "run": progress.run}
        if progress.loss is not None:
            row["loss"] = progress.loss
        print("@" + json.dumps(row), flush=True)

    return report


def turn_settings(state: DemoState, recipe: Recipe, turn: int) -> TurnSettings:
    """The recipe's turn with the refs of this home; each turn has a seed of its own."""
    return at_home(recipe.turn, state, turn)


def owner_turn_settings(state: DemoState, recipe: Recipe) -> TurnSettings:
    """The recipe's owner's turn with the refs of this home."""
    return at_home(recipe.owner_turn, state, OWNER_SEED)


def at_home(settings: TurnSettings, state: DemoState, seed: int) -> TurnSettings:
    refs, seed = state.refs, 1000 * (state.told["seed"] + 1) + seed
    return dataclasses.replace(
        settings, prefer=dataclasses.replace(settings.prefer, replay=refs["examples"], text=refs["tokens"], seed=seed)
    )


def write_prompt_files(state: DemoState, recipe: Recipe) -> list[str]:
    """What people ask, what they are measured with, and the gold questions (never about number order); the files' names."""
    from feilun.primer.copywriting import brief_rows
    from feilun.primer.dialogues import MEASURED_NUMBER_TASKS, prompts

    demo, seed = recipe.demo, state.told["seed"]
    asked = prompts(seed, demo.num_prompts, demo.number_share)
    write_rows(state.home / "prompts.jsonl", [*asked, *brief_rows(seed, demo.num_briefs)])
    measured = prompts(seed + 7919, demo.num_measured, demo.measured_number_share, MEASURED_NUMBER_TASKS)
    write_rows(state.home / "measure.jsonl", [*measured, *brief_rows(seed + 7919, demo.num_measured_briefs)])
    # No ad is the right answer to a brief, so briefs are not gold.
    gold = [row for row in asked if not row["task"].startswith("number_")][:: demo.gold_one_in]
    write_rows(state.home / "gold.jsonl", ({"prompt": row["prompt"], "answers": row["answers"]} for row in gold))
    return ["prompts.jsonl", "measure.jsonl", "gold.jsonl"]


def open_keys(home: Path) -> dict[str, Path]:
    """Key files of the demo: people (who may name the end user) and the examiner; made once, readable by the owner alone."""
    scopes = {"demo": frozenset({"chat", "feedback", "assert_end_user"}), "examiner": frozenset({"chat", "exam"})}
    files = {name: home / "keys" / f"{name}.key" for name in scopes}
    (home / "keys").mkdir(mode=0o700, exist_ok=True)
    with Store.open(home) as store:
        for name, path in files.items():
            if not path.exists():
                # Before the store learns of it: a secret that only the store's hash knows is lost.
                write_secret(path, new_secret())
            secret = path.read_text(encoding="utf-8").strip()
            if store.find_key(secret) is None:
                if any(row.name == name for row in store.list_keys()):
                    raise UserError(f"{path} no longer holds this home's key, whose name is given once; restore it or give another --home")
                store.create_key(name, scopes[name], secret)
    return files


def exam_of(home: Path, model: str, settings: ExamSettings) -> Artifact | None:
    """The exam of a model on split "final" with these settings, if it was taken."""
    model_ref = f"models/{find(home, model, 'models').ref}"
    wanted = {"split": "final", "settings": resolved(settings), "tasks": []}
    taken = [e for e in list_artifacts(home, "exams") if e.parents == (model_ref,)]
    found = [e for e in taken if {key: e.manifest["recipe"].get(key) for key in wanted} == wanted]
    return found[-1] if found else None
