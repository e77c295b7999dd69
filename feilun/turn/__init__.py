"""The wheel: collect, curate, train, exam, gate, promote; and the way back.

gate.py   the rule, a pure function on two exams       wheel.py     the parent: one turn, resumed where it was killed
vetoes.py what no vote can buy                         steps.py     the child: what one step does
voters.py held-out users, and how few turn a verdict   checks.py    G0: the lessons, before anything is trained
taught.py the rule of an owner's turn                  receipts.py  the chain of what each gate saw and said
owner.py  what an owner's turn asks and tells          settings.py  an owner's turn in any home
lease.py  who works on a step, and who died            watch.py     one turn for every request
due.py    when it turns by itself, the rule            itself.py    the same, from store and clock
webhook.py who is told how turns ended                 account.py   a turn in plain words beside its receipts
rollout.py the rule of shadow, canary and holdback     rolling.py   a rollout as it goes, and by hand
beside.py what goes on in a thread beside the work
"""

from feilun.turn.champions import promote, rollback
from feilun.turn.gate import decide
from feilun.turn.itself import due_now
from feilun.turn.job import Rooms
from feilun.turn.receipts import receipt_faults
from feilun.turn.settings import leave_settings, left_settings, left_watch, owner_settings
from feilun.turn.steps import STEPS, run_step
from feilun.turn.taught import decide_taught
from feilun.turn.verdict import GateVerdict, TaskVerdict
from feilun.turn.watch import watch, watcher_beside
from feilun.turn.webhook import leave_watch, tell
from feilun.turn.wheel import TurnProgress, TurnResult, TurnRunning, abandon, run_turn

__all__ = [
    "STEPS", "GateVerdict", "Rooms", "TaskVerdict", "TurnProgress", "TurnResult", "TurnRunning",
    "abandon", "decide", "decide_taught", "due_now", "leave_settings", "leave_watch", "left_settings", "left_watch",
    "owner_settings", "promote", "receipt_faults", "rollback", "run_step", "run_turn", "tell", "watch", "watcher_beside",
]  # fmt: skip
