"""Sources that are elsewhere: in fsspec's memory, and behind a server of this machine."""

import gzip
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from fsspec.registry import known_implementations

from feilun.artifacts import read_json
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus
from feilun.corpus.readers import read_rows
from feilun.corpus.remote import fetched
from feilun.corpus.sources import find_sources
from feilun.types import UserError

STORY = "今天下午我们去公园散步，看见了许多人：“真好！”（他说）。"
SETTINGS = CorpusSettings(min_chars=1, validation_fraction=0.0)


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe({
        "/bucket/texts/a.txt": STORY.encode(), "/bucket/texts/deep/b.jsonl.gz": gzip.compress(json.dumps({"text": "b"}).encode()),
        "/bucket/texts/c.xlsx": b"PK", "/bucket/texts/empty.csv": b"",
    })  # fmt: skip
    yield filesystem
    filesystem.rm("/bucket", recursive=True)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "页.txt").write_text(STORY)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_folder_elsewhere_is_read_like_one_here(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    found = find_sources(["memory://bucket/texts"])
    assert [source.name for source in found.sources] == ["texts/a.txt", "texts/deep/b.jsonl.gz", "texts/empty.csv"]
    assert [tuple(skip) for skip in found.skipped] == [("texts/c.xlsx", "suffix '.xlsx'")]
    folder = tmp_path / "texts"
    memory.get("/bucket/texts", str(folder), recursive=True)
    here, there = (
        build_corpus(tmp_path / place, "c", [path], SETTINGS) for place, path in (("one", folder), ("two", "memory://bucket/texts"))
    )
    assert there.hash == here.hash
    assert read_json(there.path / "stats.json")["dropped"] == {"empty": 1}
    assert all(entry["sha256"] for entry in read_json(there.path / "stats.json")["inputs"])


def test_a_file_behind_an_address_is_read_and_gone_again(address: str, tmp_path: Path) -> None:
    [source] = find_sources([f"{address}/%E9%A1%B5.txt"]).sources
    assert (source.name, source.num_bytes) == ("页.txt", len(STORY.encode()))
    with fetched(source) as local:
        assert local.path.read_text() == STORY
        assert not local.url
    assert not local.path.exists()
    assert [row.text for row in read_rows(source)] == [STORY]


def test_what_cannot_be_reached_is_an_error_that_says_how(address: str, memory: fsspec.AbstractFileSystem) -> None:
    for url, message in {
        f"{address}/no.txt": r"cannot read http.*no\.txt: FileNotFoundError.*download it",
        f"{address}/": "does not say what it is; allowed",
        "memory://bucket/nothing": "cannot read memory://bucket/nothing: FileNotFoundError",
        "memory://bucket/texts/c.xlsx": r"c\.xlsx: its name 'c\.xlsx' does not say",
        "nosuch://x/a.txt": "nosuch://x/a.txt: Protocol not known: nosuch",
    }.items():
        with pytest.raises(UserError, match=message):
            find_sources([url])


def test_a_way_that_is_not_installed_is_named_with_its_extra() -> None:
    missing = {"class": "no_such_package_of_feilun.Filesystem", "err": "Install no_such_package_of_feilun"}
    known_implementations["feiluntest"] = missing
    with pytest.raises(UserError, match=r"Install no_such_package_of_feilun; .*pip install 'feilun\[remote\]'"):
        find_sources(["feiluntest://x/a.txt"])


def test_a_file_that_changed_since_it_was_listed_is_an_error(memory: fsspec.AbstractFileSystem) -> None:
    [source] = find_sources(["memory://bucket/texts/a.txt"]).sources
    memory.pipe("/bucket/texts/a.txt", STORY.encode() * 2)
    with pytest.raises(UserError, match=r"a\.txt was \d+ bytes long and is now \d+; build again"):
        list(read_rows(source))
