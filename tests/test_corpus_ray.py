"""Ray as the engine of a build: the artifact of the local pool, from the same shelf, and nothing left behind."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from feilun.cli import main
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus, build_from_documents, pool
from feilun.types import Document, UserError

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="ray is not installed: pip install 'feilun[ray]'")


def write_texts(folder: Path) -> Path:
    folder.mkdir()
    for number in range(6):
        rows = [{"text": f"第{number}篇的第{row}段，" + chr(0x4E00 + 97 * number + row) * 30 + "。"} for row in range(20)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def ray_processes() -> set[int]:
    """Processes of this machine whose command is one of Ray's."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if b"raylet" in command or b"gcs_server" in command or b"ray::" in command:
            found.add(int(path.parent.name))
    return found


@pytest.mark.slow
@needs_ray
# Ray leaves files of its own to the collector, and forks where threads run.
@pytest.mark.filterwarnings("default")
def test_ray_gives_the_artifact_of_the_local_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "GROUP_BYTES", 1 << 10)
    folder, before = write_texts(tmp_path / "in"), ray_processes()
    local = build_corpus(tmp_path / "a", "c", [folder], CorpusSettings(workers=1))
    on_ray = build_corpus(tmp_path / "b", "c", [folder], CorpusSettings(engine="ray"))
    assert on_ray.hash == local.hash
    assert on_ray.manifest["files"] == local.manifest["files"]
    (folder / "6.jsonl").write_text('{"messages": []}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"6\.jsonl"):
        build_corpus(tmp_path / "c", "c", [folder], CorpusSettings(engine="ray"))
    assert len(list((tmp_path / "c" / "corpus" / ".shards" / "c").glob("*/done.json"))) > 0
    (folder / "6.jsonl").unlink()
    assert build_corpus(tmp_path / "c", "c", [folder], CorpusSettings(workers=1)).hash == local.hash
    assert ray_processes() <= before
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_ray_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    folder = write_texts(tmp_path / "in")
    assert main(["--home", str(tmp_path / "home"), "corpus", "build", "c", str(folder), "--engine", "ray"]) != 0
    assert "feilun[ray]" in capsys.readouterr().err


def test_an_engine_that_would_not_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="local, ray"):
        build_corpus(tmp_path, "c", [write_texts(tmp_path / "in")], CorpusSettings(engine="spark"))
    with pytest.raises(UserError, match="in this process"):
        build_from_documents(tmp_path, "c", [Document(id="1", text="字" * 40)], CorpusSettings(engine="ray"))
