"""The plain settings of every stage, for a model of one's own: start here and change by --set."""

from dataclasses import replace

from feilun.config import Recipe

ROWS, ROW_TOKENS = 8, 256


def recipe() -> Recipe:
    plain = Recipe()
    prefer = replace(plain.prefer, rows=ROWS, row_tokens=ROW_TOKENS)
    # A model that can answer is changed by one person's few lessons: gentler than a model that still learns to.
    gentle = replace(plain.prefer.optimiser, matrix_lr=0.005, other_lr=5e-4)
    return replace(
        plain,
        pretrain=replace(plain.pretrain, rows=ROWS, row_tokens=ROW_TOKENS),
        sft=replace(plain.sft, rows=ROWS, row_tokens=ROW_TOKENS),
        prefer=prefer,
        turn=replace(plain.turn, prefer=prefer),
        owner_turn=replace(plain.owner_turn, spread=True, prefer=replace(prefer, spread_share=0.4, optimiser=gentle)),
    )
