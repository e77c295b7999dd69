"""OpenMP settings, made before any test imports torch, and the fixtures that several files share."""

import os

# One other busy process makes spinning OpenMP threads fifteen times slower; one thread makes sums repeatable.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes, those of a file share one, and so do all that share the browser.

    Groups by mark are not heeded with pytest 9.2 (pytest-xdist, issue 1386).
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "browser" if "/browser/" in file else file

    return ByFile(config, log)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home of one test's own."""
    path = tmp_path / "home"
    path.mkdir()
    return path


@pytest.fixture
def test_data() -> Path:
    """The folder of real text that FEILUN_TEST_DATA names; a test that asks for it is skipped where there is none."""
    named = os.environ.get("FEILUN_TEST_DATA")
    if not named:
        pytest.skip("FEILUN_TEST_DATA is not set: no real text to read")
    if not Path(named).is_dir():
        pytest.skip(f"FEILUN_TEST_DATA={named} is not a folder")
    return Path(named)
