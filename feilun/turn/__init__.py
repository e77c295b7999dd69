"""The wheel: collect, curate, train, exam, gate, promote; and the way back.

gate.py   the rule, a pure function on two exams       wheel.py   the parent: one turn, resumed where it was killed
lease.py  who works on a step, and who died            steps.py   the child: what one step does
"""

from feilun.turn.champions import promote, rollback
from feilun.turn.gate import GateVerdict, TaskVerdict, decide
from feilun.turn.steps import STEPS, Rooms, run_step
from feilun.turn.wheel import TurnProgress, TurnResult, abandon, run_turn

__all__ = [
    "STEPS", "GateVerdict", "Rooms", "TaskVerdict", "TurnProgress", "TurnResult",
    "abandon", "decide", "promote", "rollback", "run_step", "run_turn",
]  # fmt: skip
