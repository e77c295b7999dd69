"""The command line: one verb a stage, each working alone on the user's own files.

parser.py   how a verb is added, and which model a word names      demo.py corpus.py stages.py exam.py serve.py
home.py     looking, keys, erasure                                 feedback.py desk.py wheel.py rollout.py ranking.py   the verbs, by stage
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from feilun.cli.corpus import add_corpus
from feilun.cli.demo import add_demo
from feilun.cli.desk import add_desk
from feilun.cli.exam import add_exam
from feilun.cli.feedback import add_feedback
from feilun.cli.home import add_home
from feilun.cli.ranking import add_ranking
from feilun.cli.rollout import add_rollout
from feilun.cli.serve import add_serve
from feilun.cli.stages import add_stages
from feilun.cli.wheel import add_wheel
from feilun.types import UserError

__all__ = ["build_parser", "main"]

LAST_SECONDS = 30.0  # a server lets its answers end; nothing may outlive its parent for longer


def main(arguments: Sequence[str] | None = None) -> int:
    """0 done, 1 refused, not whole or the system failed, 2 bad input (said on standard error), 130 interrupted."""
    # One other busy process makes spinning OpenMP threads fifteen times slower; must stand before torch is imported.
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    options = build_parser().parse_args(arguments)
    options.home = Path(options.home or os.environ.get("FEILUN_HOME") or "feilun-data").absolute()
    if options.with_parent:
        threading.Thread(target=end_with_parent, daemon=True, name="parent").start()
    try:
        status = int(options.verb(options))
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"feilun: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nfeilun: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"feilun: the system says: {error.strerror or error}{where}; what was finished is kept", file=sys.stderr)
        return 1


def end_with_parent() -> None:
    """The parent holds our standard input open; however it ends, so do we."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)


def build_parser() -> argparse.ArgumentParser:
    about = "Own the model behind your product, from raw text to the next, better model."
    parser = argparse.ArgumentParser(prog="feilun", description=about)
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--home", help="where everything is kept (else FEILUN_HOME, else ./feilun-data)")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    add_demo(verbs)
    add_corpus(verbs)
    add_stages(verbs)
    add_exam(verbs)
    add_serve(verbs)
    add_feedback(verbs)
    add_desk(verbs)
    add_ranking(verbs)
    add_wheel(verbs)
    add_rollout(verbs)
    add_home(verbs)
    return parser
