"""The verb leaderboard: whom people prefer of all models that ever answered."""

import argparse
from typing import TYPE_CHECKING, Any

from feilun.cli.parser import add

if TYPE_CHECKING:
    from feilun.feedback.ranking import Part


def add_ranking(verbs: Any) -> None:
    board = add(verbs, "leaderboard", run_leaderboard, "generations and engines, ranked by people's choices between them")
    board.add_argument("--held-out", action="store_true", help="only of people who never taught (fewer choices, and none that was learnt)")


def run_leaderboard(options: argparse.Namespace) -> int:
    from feilun.feedback import LessonRules
    from feilun.feedback.gold import gold_of
    from feilun.feedback.opinions import hear
    from feilun.feedback.ranking import duels_of, ranked, rated_rates
    from feilun.feedback.raters import judge_raters
    from feilun.store import Store, spread

    with Store.open(options.home) as store:
        votes = spread(store.folded_votes(store.last_seq()))
        raters = judge_raters(hear(votes), gold_of(options.home, store), LessonRules())
        duels, left_out = duels_of(votes, raters, held_out_only=options.held_out)
        rates = {model: f"{rate.mean:.1%} of {rate.n}" for model, rate in rated_rates(store, votes).rates.items()}
    if not duels:
        print("nobody has chosen between two models yet; `feilun teach` and the page's Teach view ask people to")
    for part in ranked(duels):
        print("\n".join(part_lines(part, rates)))
    if left_out:
        print("left out: " + ", ".join(f"{num} {reason.replace('_', ' ')}" for reason, num in sorted(left_out.items())))
    return 0


def part_lines(part: "Part", rates: dict[str, str]) -> list[str]:
    """Strengths in logits: .69 above another is preferred two to one."""
    heading = f"{part.duels} choices of {part.users} people"
    if part.board is None:
        return [f"{heading} between {', '.join(part.models)}: a ranking needs two people or more"]
    lines = [heading, f"rank  {'model':40}  strength  {'95 % interval':17}  choices  answers judged"]
    for model, row in part.board.models.items():
        interval = f"[{row.strength.low:+.2f}, {row.strength.high:+.2f}]"
        lines.append(f"{row.rank:4}  {model:40}  {row.strength.mean:+8.2f}  {interval:17}  {row.strength.n:7}  {rates.get(model, '-')}")
    for name, worth in part.board.style.items():
        lines.append(
            f"style: {name} is worth {worth.mean:+.2f} [{worth.low:+.2f}, {worth.high:+.2f}] a standard deviation, and is taken out"
        )
    return lines
