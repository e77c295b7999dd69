"""One sentence of truth about the model that answers: who chose what, blind, how often, and how sure that is."""

from collections.abc import Mapping, Sequence
from typing import Any

from feilun.serve.timeline import Entry
from feilun.serve.words import LANGUAGES, all_words
from feilun.store import CurrentVote

__all__ = ["FEW", "own_choices", "truths"]

FEW = 20  # decided choices; below this a share would only be read wrong
FEW_JUDGES = 5  # people, or conversations of one person
Figures = Mapping[str, Any]


def own_choices(votes: Sequence[CurrentVote], model: str, against: str) -> dict[str, Any] | None:
    """What the owner chose between answers of two models, as the figures of the blind choices; None where nothing was chosen.

    The sides were drawn when the two were shown. Clusters are conversations: choices in one of them share a subject.
    """
    counts = {"wins": 0, "losses": 0, "ties": 0, "both_bad": 0}
    values: list[float] = []
    threads: list[str] = []
    for vote in votes:
        for sibling in vote.over if vote.kind == "choice" else ():
            if {vote.model, sibling.model} != {model, against}:
                continue
            if vote.value["outcome"] != "win":
                counts["ties" if vote.value["outcome"] == "tie" else "both_bad"] += 1
                continue
            won = vote.model == model
            counts["wins" if won else "losses"] += 1
            values.append(float(won))
            threads.append(vote.thread_id)
    if not any(counts.values()):
        return None
    # NumPy and SciPy are a fifth of the server's start, and few owners have compared anything yet.
    from feilun.stats import bootstrap_interval

    nothing = {"mean": None, "low": None, "high": None, "n": 0}
    share = bootstrap_interval(values, threads).to_json() if values else nothing
    return {**counts, "users": len(set(threads)), "share": share}


def truths(entries: Sequence[Entry], own: Figures | None, making: str | None = None) -> list[dict[str, Any]]:
    """Sentences about the current champion, the one to be read first first: {"source", "code", "text": {language: text}, ...figures}.

    The owner's own choices come first where they suffice, then what held-out people chose.
    """
    current = next((entry for entry in reversed(entries) if entry.current), None)
    if current is None:
        return [sentence("making" if making else "none", "", {})]
    if current.against is None:
        return [sentence("first", "", {"a": current.number})]
    found = [judged(current, figures, source) for source, figures in (("own", own), ("held_out", current.blind)) if figures]
    found.sort(key=lambda row: row["code"] == "early")
    return found or [sentence("unmeasured", "", {"a": current.number, "b": current.against})]


def judged(entry: Entry, figures: Figures, source: str) -> dict[str, Any]:
    share = figures["share"]
    values: dict[str, Any] = {"a": entry.number, "b": entry.against, "n": share["n"], "users": figures.get("users", 0)}
    if share["n"] < FEW or figures.get("users", FEW_JUDGES) < FEW_JUDGES:
        return sentence("early", source, values)
    values |= {key: round(100 * share[key]) for key in ("mean", "low", "high")}
    code = "beats" if share["low"] > 0.5 else "loses" if share["high"] < 0.5 else "level"
    return sentence(code, source, values)


def sentence(code: str, source: str, values: dict[str, Any]) -> dict[str, Any]:
    words = all_words()
    text = {language: words[language][f"truth_{code}"].format(**values) for language in LANGUAGES}
    about = {language: words[language][f"source_{source}"].format(**values) for language in LANGUAGES} if source else None
    return {"source": source, "code": code, "text": text, "about": about, **values}
