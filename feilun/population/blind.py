"""Blind choices: which of two generations held-out people prefer, who know neither which is which nor whose answer it is.

    python -m feilun.population.blind BEFORE.json AFTER.json

Both files are of `--measure`: the same people judged both models' answers to the same prompts. A choice follows from the two
judgements, as it does when people choose in a visit, so no answer is asked again. A simulated person has no eye for the side
that an answer stands on; the page, where people of flesh choose, has to draw it.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.population.measure import bootstrap
from feilun.population.people import Judgement, prefer
from feilun.types import UserError

__all__ = ["blind_choices"]

Rows = Sequence[Mapping[str, Any]]


def blind_choices(before: Rows, after: Rows, seed: int) -> dict[str, Any]:
    """{"wins", "losses", "ties", "both_bad", "users", "share": {"mean", "low", "high", "n"}} of `after` against `before`.

    share: wins of wins and losses, with a percentile bootstrap over whole users. users: how many decided at all; of few the interval
    says little. UserError where the two were not judged by the same people on the same prompts.
    """
    found = judgements(before)
    others = judgements(after)
    if found.keys() != others.keys():
        apart = len(found.keys() ^ others.keys())
        raise UserError(f"the measurements hold other judges or prompts ({apart} differ); measure both with the same list, seed and users")
    outcomes = {key: prefer(found[key], others[key]) for key in found}
    counts = Counter(outcomes.values())
    users: dict[str, Counter[str]] = {}
    for (user, _), outcome in outcomes.items():
        users.setdefault(user, Counter())[outcome] += 1
    sums = [(c["second"], c["first"] + c["second"]) for c in users.values()]
    return {
        "wins": counts["second"], "losses": counts["first"], "ties": counts["tie"], "both_bad": counts["both_bad"],
        "users": sum(n > 0 for _, n in sums), "share": bootstrap(sums, seed),
    }  # fmt: skip


def judgements(rows: Rows) -> dict[tuple[str, str], Judgement]:
    return {(row["user"], row["id"]): Judgement(row["accepted"], tuple(row["faults"])) for row in rows}


def main(arguments: Iterable[str] | None = None) -> int:
    """The choices as one JSON line; 2: the two files do not fit together."""
    parser = argparse.ArgumentParser(prog="python -m feilun.population.blind", description="Choices between two measured models.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args(None if arguments is None else list(arguments))
    measured = [json.loads(path.read_text(encoding="utf-8")) for path in (options.before, options.after)]
    try:
        found = blind_choices(measured[0]["rows"], measured[1]["rows"], measured[1]["seed"])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
