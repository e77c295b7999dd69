"""The whole ring on this machine: primer, first generation, users, turns, report.

ring.py     what happens in which order, resumed where it was killed     children.py  processes and their CPU-seconds
stages.py   the making of the first generation, one child process each   report.py    report.json, report.png, report.html
"""

from feilun.demo.ring import run_demo
from feilun.demo.stages import run_demo_stage

__all__ = ["run_demo", "run_demo_stage"]
