"""Input that is broken, huge or meant to harm: each ends in a counted reason or a clear error, in bounded memory."""

import gzip
import json
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from crashing_parser import serve_crashes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paper_house import docx, epub, page, pdf, warc, zipped

from feilun.artifacts import read_json
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus, report
from feilun.corpus.extract import extract_article, parse_page
from feilun.corpus.readers import Row, guard, office, read_rows
from feilun.corpus.shards import read_dropped
from feilun.corpus.shelf import process_shard
from feilun.corpus.sources import Source, find_sources
from feilun.types import UserError

STORY = "今天下午我们去公园散步，看见了许多人：“真好！”（他说）。第二天又下雨了，大家都留在家里读书。" * 9


def rows(path: Path, data: bytes | None = None) -> list[Row]:
    if data is not None:
        path.write_bytes(data)
    return list(read_rows(Source(path.name, path, path.stat().st_size)))


def reasons(path: Path, data: bytes | None = None) -> list[str | None]:
    return [row.reason for row in rows(path, data)]


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    yield
    guard.GUARD.end()


def zeros_in_gzip(num_bytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(num_bytes >> 20)), packer.flush()])


def test_a_packed_bomb_is_named_and_costs_one_file(tmp_path: Path) -> None:
    gz, zst = zeros_in_gzip(80 << 20), zstandard.compress(bytes(80 << 20))
    assert len(gz) < 100_000
    assert len(zst) < 10_000
    for name in ("a.txt", "a.jsonl", "a.html", "a.pdf"):
        for suffix, data in ((".gz", gz), (".zst", zst)):
            read = reasons(tmp_path / (name + suffix), data)
            assert {*read} & {"archive_bomb", "oversized_document", "broken_document"}, name


def test_a_bomb_in_a_document_is_named(tmp_path: Path) -> None:
    bomb = " " * (office.MAX_MEMBER_BYTES + 1)
    assert reasons(tmp_path / "a.docx", docx(f"<w:p>{bomb}</w:p>")) == ["archive_bomb"]
    crowd = {f"{number}.xml": b"" for number in range(office.MAX_MEMBERS + 1)}
    assert reasons(tmp_path / "b.docx", zipped(crowd)) == ["archive_bomb"]


def test_entities_are_neither_expanded_nor_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("SECRET")
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    for declared in (f'<!ENTITY a0 "ha">{laughs}', f'<!ENTITY a9 SYSTEM "file://{tmp_path}/secret.txt">'):
        document = f'<!DOCTYPE d [{declared}]><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        document += "<w:p><w:r><w:t>&a9;</w:t></w:r></w:p></w:document>"
        [row] = rows(tmp_path / "a.docx", docx(**{"word/document.xml": document}))
        # A parser of its own accord refuses what would grow.
        assert row.reason in ("hostile_markup", "broken_document")
    chapter = f'<!DOCTYPE html [<!ENTITY a SYSTEM "file://{tmp_path}/secret.txt">]><p>before &a; after</p>'
    assert "SECRET" not in rows(tmp_path / "a.epub", epub({"a.xhtml": chapter}))[0].text


def test_deep_nesting_ends_in_a_reason(tmp_path: Path) -> None:
    deep = 100_000
    lines = b'{"text": "fine"}' + b"\n" + b'{"text":' * deep + b"\n" + b"[" * deep
    assert reasons(tmp_path / "a.jsonl", lines) == [None, "malformed_row", "malformed_row"]
    html = f"<html><body><p>{STORY}</p>{'<div>' * deep}deep down</body></html>".encode()
    read = rows(tmp_path / "a.html", html)
    assert [row.reason for row in read] == [None, "broken_document"]
    assert "nested too deep" in read[1].text
    assert read[0].text == STORY
    nested = "<w:x>" * deep + "</w:x>" * deep
    assert reasons(tmp_path / "a.docx", docx(f"<w:p>{nested}</w:p>")) == ["broken_document"]


@pytest.mark.parametrize("cut", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("make", ["zst", "gz", "pdf", "docx", "epub", "parquet", "warc"])
def test_a_truncated_file_is_counted_after_what_could_be_read(tmp_path: Path, make: str, cut: float) -> None:
    import polars as pl

    if make == "parquet":
        pl.DataFrame({"text": [STORY] * 20}).write_parquet(tmp_path / "whole.parquet")
    noise = random.Random(0)
    lines = b"".join(json.dumps({"text": f"{noise.random()} {i}"}).encode() + b"\n" for i in range(2000))
    whole = {
        "zst": ("a.jsonl.zst", lambda: zstandard.compress(lines)), "gz": ("a.jsonl.gz", lambda: gzip.compress(lines)),
        "pdf": ("a.pdf", lambda: pdf("One page.")), "docx": ("a.docx", docx), "epub": ("a.epub", lambda: epub({"a.xhtml": "<p>x</p>"})),
        "parquet": ("a.parquet", (tmp_path / "whole.parquet").read_bytes),
        "warc": ("a.warc", lambda: warc(*[("response", "http://a/", "text/html", page(STORY).encode())] * 3)),
    }[make]  # fmt: skip
    data = whole[1]()
    read = reasons(tmp_path / whole[0], data[: int(len(data) * cut)])
    # PDFium mends a table of places that is cut off, and finds the page.
    assert {*read} & {"broken_archive", "broken_document", "malformed_row"} or (make == "pdf" and read == [None])


def test_a_record_of_a_false_length_is_counted_and_the_rest_of_the_crawl_read(tmp_path: Path) -> None:
    one, two = (warc(("conversion", f"http://a/{i}", "text/plain", STORY.encode())) for i in (1, 2))
    size = f"Content-Length: {len(STORY.encode())}".encode()
    assert one.count(size) == 1
    data = one.replace(size, f"Content-Length: {len(STORY.encode()) - 30}".encode()) + two
    read = rows(tmp_path / "a.warc", data)
    assert [(row.id, row.reason) for row in read] == [("http://a/1", None), ("http://a/2", None), ("a.warc", "broken_archive")]
    assert "1 records end elsewhere" in read[2].text


def test_noise_under_any_name_ends_in_a_reason(tmp_path: Path) -> None:
    noise = random.Random(1).randbytes(3000)
    for name in ("a.txt", "a.html", "a.pdf", "a.docx", "a.epub", "a.parquet", "a.warc", "a.gz", "a.zst", "a.txt.gz", "a.pdf.zst"):
        read = reasons(tmp_path / name, noise)
        assert len(read) == 1, name
        assert read[0] in {"undecodable", "broken_document", "broken_archive", "no_text"}, name


def test_zero_bytes_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.txt", b"before\0after")[0].text == "before\0after"
    assert reasons(tmp_path / "b.txt", b"\0" * 5000) == [None]
    assert reasons(tmp_path / "c.jsonl", b'{"text": "ok"}\n\0\0\0\n{"text": "\xff\xfe"}\n') == [None, "malformed_row", "undecodable"]
    assert rows(tmp_path / "d.html", page(STORY).replace("下雨", "下\0雨").encode())[0].reason is None
    with pytest.raises(UserError, match=r"e\.csv has no column 'text'"):
        rows(tmp_path / "e.csv", b"\0\0,\0\n")


def test_encrypted_documents_are_counted_by_name(tmp_path: Path) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    assert [(row.origin, row.reason) for row in rows(tmp_path / "密码.docx", ole)] == [("密码.docx", "encrypted")]
    locked = bytearray(docx())
    for sign, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := locked.find(sign, at + 1)) >= 0:
            locked[at + place] |= 1
    assert reasons(tmp_path / "a.docx", bytes(locked)) == ["encrypted"]


def test_a_folder_of_traps_is_built_and_every_trap_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text(STORY)
    os.mkfifo(folder / "pipe.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "device.txt").symlink_to("/dev/zero")
    (folder / "round").symlink_to(folder)
    (folder / "two\nlines.txt").write_text("one text with a strange name")
    Path(os.fsdecode(os.fsencode(folder) + b"/no\xffutf8.txt")).write_text("another text with a strange name")
    Path(os.fsdecode(os.fsencode(folder) + b"/no\xffutf8.bin")).write_text("passed over")
    (folder / "empty.pdf").write_bytes(b"")
    made = build_corpus(tmp_path, "c", [folder], CorpusSettings(min_chars=5, validation_fraction=0.0, filters=False))
    stats = read_json(made.path / "stats.json")
    assert stats["documents"]["kept"] == 3
    assert stats["dropped"] == {"empty": 1}
    skipped = {(entry["name"], entry["reason"]) for entry in stats["skipped"]}
    assert skipped == {
        ("in/device.txt", "not a regular file"), ("in/loop.txt", "not a regular file"), ("in/no\\udcffutf8.bin", "suffix '.bin'"),
        ("in/pipe.txt", "not a regular file"), ("in/round", "linked folder"),
    }  # fmt: skip
    assert "in/two\\nlines.txt" in {entry["name"] for entry in stats["inputs"]}
    assert "\nlines" not in report(made)


@pytest.mark.parametrize("num_files", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_empty_files_are_as_many_counted_drops(tmp_path: Path, num_files: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.txt").write_text(STORY)
    suffixes = (".txt", ".jsonl", ".html", ".pdf", ".csv", ".parquet", ".gz", ".docx")
    for number in range(num_files):
        (folder / f"{number}{suffixes[number % len(suffixes)]}").touch()
    made = build_corpus(tmp_path, "c", [folder], CorpusSettings(validation_fraction=0.0, filters=False))
    assert read_json(made.path / "stats.json")["dropped"] == {"empty": num_files}
    assert len({row["origin"] for row in read_dropped(made)}) == num_files


def test_a_file_that_vanishes_or_may_not_be_read_is_a_reason(tmp_path: Path) -> None:
    for name in ("a.txt", "a.html", "a.jsonl"):
        path = tmp_path / name
        path.write_text("x")
        [source] = find_sources([path]).sources
        path.unlink()
        assert [row.reason for row in read_rows(source)] == ["vanished"]
        path.mkdir()
        assert [row.reason for row in read_rows(source)] == ["unreadable"]


def test_a_file_that_vanishes_during_a_build_is_a_clear_error(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for path in paths:
        path.write_text(STORY)
    sources = find_sources(paths).sources
    paths[1].unlink()
    with pytest.raises(UserError, match=r"b\.txt vanished after the build began"):
        process_shard(sources, CorpusSettings(), tmp_path)


def test_a_parser_that_dies_costs_its_file_and_in_a_crawl_its_record(tmp_path: Path) -> None:
    crashing = guard.Guard(serve_crashes)

    def read(name: str, *lines: str) -> list[tuple[str, str | None]]:
        path = tmp_path / name
        path.write_text("\n".join(lines))
        return [(row.text, row.reason) for row in read_rows(Source(name, path, 1), guard=crashing)]

    assert read("a.warc", "one", "segfault", "three", "too slow", "five") == [
        ("one", None), ("segfault", "parser_died"), ("three", None), ("too slow", "parser_died"), ("five", None),
    ]  # fmt: skip
    assert read("a.pdf", "one", "segfault", "three") == [("the parser died: SIGSEGV", "parser_died")]
    assert read("b.pdf", "too slow") == [(f"the parser was ended after {guard.MAX_CPU_SECONDS} CPU-seconds on one piece", "parser_died")]
    assert read("c.pdf", "one", "memory") == [("one", None), ("reading it takes more than 4 GiB", "too_much_memory")]
    assert read("d.pdf", "one", "three") == [("one", None), ("three", None)]
    crashing.end()
    crashing = guard.Guard(serve_crashes, max_deaths=2)
    assert read("b.warc", "one", *["segfault"] * 5) == [
        ("one", None), ("segfault", "parser_died"), ("it died 2 times in this file; what stands behind record 2 is lost", "parser_died"),
    ]  # fmt: skip
    crashing.end()


def test_a_reader_that_is_left_early_does_not_disturb_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(warc(*[("response", f"http://a/{i}", "text/html", page(STORY).encode()) for i in range(20)]))
    reading = read_rows(Source("a.warc", tmp_path / "a.warc", 1))
    assert next(reading).id == "http://a/0"
    reading.close()  # type: ignore[attr-defined]
    assert rows(tmp_path / "b.html", page(STORY).encode())[0].source == "b.html"


FUZZED: dict[str, Callable[[], bytes]] = {
    "a.pdf": lambda: pdf("One page of text.", "Another."), "a.docx": docx, "a.epub": lambda: epub({"a.xhtml": "<p>文</p>"}),
    "a.html": lambda: page(STORY).encode(), "a.warc": lambda: warc(("response", "http://a/", "text/html", page(STORY).encode())),
    "a.jsonl": lambda: json.dumps({"text": STORY}).encode(), "a.csv": lambda: f"text,id\n{STORY},1\n".encode(),
    "a.txt.gz": lambda: gzip.compress(STORY.encode()), "a.jsonl.zst": lambda: zstandard.compress(json.dumps({"text": STORY}).encode()),
}  # fmt: skip


def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """A few of its bytes changed, a stretch cut out or put in twice, or its end lost."""
    held = bytearray(data)
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(held)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            held[at : at + 4] = draw(st.binary(max_size=8))
        elif kind == 1:
            del held[at : at + draw(st.integers(1, 300))]
        elif kind == 2:
            held[at:at] = held[at : at + draw(st.integers(1, 300))] * draw(st.integers(1, 5))
        else:
            del held[at:]
    return bytes(held)


@st.composite
def damaged_files(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(FUZZED)))
    return name, damaged(draw, FUZZED[name]())


def check_damaged(folder: Path, name: str, data: bytes) -> None:
    """Rows or reasons, at least one, every one of them text that UTF-8 can hold; or an error for a person."""
    try:
        read = rows(folder / name, data)
    except UserError:
        return
    assert read
    for row in read:
        for value in row:
            assert value is None or value.encode().decode() == value


@settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(damaged_files())
def test_damaged_files_end_in_rows_or_reasons(tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes]) -> None:
    check_damaged(tmp_path_factory.getbasetemp(), *file)


@pytest.mark.slow
@settings(max_examples=100_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(damaged_files())
def test_many_damaged_files_end_in_rows_or_reasons(tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes]) -> None:
    check_damaged(tmp_path_factory.getbasetemp(), *file)


MARKUP = (
    "<div>", "</div>", "<p>", "<table>", "<tr>", "<td>", "</td>", "<a href=x>", "</a>", "<br>", "<li>", "text. ", "长文本。" * 30, "<",
    "&#0;",     "&amp;", "<!--", "-->", "<pre>", '<div class="comment">', "<script>", "<article>", "<h2>",
)  # fmt: skip


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(st.lists(st.sampled_from(MARKUP)))
def test_any_markup_is_read_and_gives_text(parts: list[str]) -> None:
    root, is_whole = parse_page("".join(parts))
    assert is_whole
    text = extract_article(root).text
    assert text.encode().decode() == text
    assert "<script>" not in text


MEMORY_PROBE = """
import resource, sys
from pathlib import Path
from feilun.corpus.readers import read_rows
from feilun.corpus.sources import Source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
path = Path(sys.argv[1])
counts = {}
for row in read_rows(Source(path.name, path, path.stat().st_size)):
    counts[row.reason] = counts.get(row.reason, 0) + 1
print(counts, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["line.txt", "line.jsonl", "line.csv", "line.html", "line.jsonl.zst"])
def test_a_line_of_a_gigabyte_is_pieces_or_a_reason_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    chunk = "一行很长的文字，没有换行。".encode() * 30_000
    with zstandard.open(path, "wb") if name.endswith(".zst") else path.open("wb") as stream:
        stream.write(b'{"text": "' if "jsonl" in name else b"text\n" if "csv" in name else b"")
        for _ in range((1 << 30) // len(chunk)):
            stream.write(chunk)
        stream.write(b'"}\n' if "jsonl" in name else b"\n")
    done = subprocess.run([sys.executable, "-c", MEMORY_PROBE, str(path)], capture_output=True, text=True, check=True)
    counts, megabytes = done.stdout.rsplit(" ", 1)
    expected = {
        "line.txt": "{None: 86}", "line.jsonl": "{'oversized_row': 1}", "line.csv": "{'oversized_row': 1}",
        "line.html": "{'oversized_document': 1}",
        "line.jsonl.zst": "{'archive_bomb': 1}",
    }  # fmt: skip
    assert counts.startswith(expected[name]), counts
    assert int(megabytes) < 600
