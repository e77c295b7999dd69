import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from feilun.artifacts import find, verify
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus, shelf
from feilun.corpus.shelf import open_shelf
from feilun.types import UserError

CHILD = """
import sys
from pathlib import Path
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus, pool

if __name__ == "__main__":
    pool.GROUP_BYTES, pool.MIN_POOL_BYTES = 1 << 15, 0
    made = build_corpus(Path(sys.argv[1]), "c", [Path(sys.argv[2])], CorpusSettings(workers=int(sys.argv[3])))
    print(made.ref)
"""


def write_texts(folder: Path, num_files: int, num_rows: int) -> Path:
    rng = random.Random(5)
    folder.mkdir()
    for number in range(num_files):
        rows = [{"text": "".join(chr(rng.randrange(0x4E00, 0x5200)) for _ in range(300)) + "\r\n。"} for _ in range(num_rows)]
        rows += rows[:3] + [{"text": row["text"].replace("。", "？")} for row in rows[3:6]]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{number:03d}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def begin(home: Path, folder: Path, workers: int) -> subprocess.Popen:
    script = home.parent / "child.py"
    script.write_text(CHILD, encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script), str(home), str(folder), str(workers)], stdout=subprocess.PIPE, text=True)


def finished(child: subprocess.Popen) -> str:
    said, _ = child.communicate(timeout=250)
    assert child.returncode == 0
    return said.split()[-1]


def num_shelved(home: Path) -> int:
    return len(list((home / "corpus" / ".shards" / "c").glob("*/done.json")))


def kill_when(child: subprocess.Popen, reached) -> None:
    while child.poll() is None and not reached():
        time.sleep(0.002)
    child.kill()
    child.communicate()


def leftovers(home: Path) -> list[str]:
    return sorted(p.name for p in (home / "corpus").iterdir() if p.name.startswith(".") and p.name != ".shards")


def test_a_killed_build_goes_on_and_gives_the_artifact_of_one_that_was_not(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "in", 24, 30)
    (tmp_path / "home").mkdir()
    whole = build_corpus(tmp_path / "whole", "c", [folder], CorpusSettings(workers=1))
    for workers, num_done in ((1, 5), (2, 12)):
        kill_when(begin(tmp_path / "home", folder, workers), lambda num_done=num_done: num_shelved(tmp_path / "home") >= num_done)
        assert num_shelved(tmp_path / "home") >= num_done
    made = find(tmp_path / "home", finished(begin(tmp_path / "home", folder, 1)))
    assert made.hash == whole.hash
    assert made.manifest["files"] == whole.manifest["files"]
    assert verify(made) == []
    assert leftovers(tmp_path / "home") == []
    assert num_shelved(tmp_path / "home") == 0


@pytest.mark.slow
def test_twenty_random_kills_change_nothing(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "in", 60, 60)
    (tmp_path / "home").mkdir()
    whole = build_corpus(tmp_path / "whole", "c", [folder], CorpusSettings(workers=1))
    started = time.monotonic()
    finished(begin(tmp_path / "timed", folder, 2))
    seconds = time.monotonic() - started
    rng, num_killed = random.Random(6), 0
    while num_killed < 20:
        child, moment = begin(tmp_path / "home", folder, 1 + num_killed % 2), time.monotonic() + rng.uniform(0, seconds)
        kill_when(child, lambda moment=moment: time.monotonic() >= moment)
        num_killed += child.returncode == -signal.SIGKILL
        if child.returncode == 0:
            for path in (tmp_path / "home" / "corpus").glob("c@*"):
                path.rename(tmp_path / f"done-{num_killed}-{random.random()}")
    made = find(tmp_path / "home", finished(begin(tmp_path / "home", folder, 2)))
    assert made.hash == whole.hash
    assert verify(made) == []
    assert leftovers(tmp_path / "home") == []


def test_what_is_washed_is_not_washed_again_unless_something_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_texts(tmp_path / "in", 3, 5)
    monkeypatch.setattr("feilun.corpus.pool.GROUP_BYTES", 1)
    washed: list[str] = []
    monkeypatch.setattr(shelf, "_wash_into", lambda place, *rest, wash=shelf._wash_into: (washed.append(place.name), wash(place, *rest)))

    def stop_late(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    def run(name: str = "c", **changes: object) -> int:
        before = len(washed)
        with pytest.raises(KeyboardInterrupt):
            build_corpus(tmp_path / "home", name, [folder], CorpusSettings(workers=1, **changes), progress=stop_late)  # type: ignore[arg-type]
        return len(washed) - before

    assert (run(), run(), run(min_chars=30), run("other")) == (3, 0, 3, 3)
    (folder / "001.jsonl").write_text('{"text": "another text of some length"}\n')
    assert run() == 1
    monkeypatch.setattr(shelf, "code_fingerprint", lambda: "other code")
    assert run() == 3


def test_one_build_of_a_name_at_a_time(tmp_path: Path) -> None:
    folder = write_texts(tmp_path / "in", 1, 3)
    with open_shelf(tmp_path, "c"):
        with pytest.raises(UserError, match="another build of corpus 'c' is at work"):
            build_corpus(tmp_path, "c", [folder], CorpusSettings(workers=1))
        build_corpus(tmp_path, "d", [folder], CorpusSettings(workers=1))


def test_a_file_that_changes_under_the_build_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_texts(tmp_path / "in", 1, 3)

    def wash_and_write(place, *rest, wash=shelf._wash_into):
        wash(place, *rest)
        with (folder / "000.jsonl").open("a") as stream:
            stream.write('{"text": "written while we read"}\n')

    monkeypatch.setattr(shelf, "_wash_into", wash_and_write)
    with pytest.raises(UserError, match="was changed while it was read"):
        build_corpus(tmp_path / "home", "c", [folder], CorpusSettings(workers=1))
    assert num_shelved(tmp_path / "home") == 0
