"""Every kind of file, read as its rows; the makers of small files stand in paper_house.py."""

import codecs
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_house import docx, epub, page, pdf, warc

from benchmarks import extraction
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus
from feilun.corpus.encodings import CHINESE, detect_encoding
from feilun.corpus.readers import Row, guard, read_rows
from feilun.corpus.readers.lines import MAX_LINE_BYTES
from feilun.corpus.readers.web import decode_page
from feilun.corpus.sources import Source, find_sources
from feilun.corpus.undo import restored_documents
from feilun.types import UserError

STORY = "今天下午我们去公园散步，看见了许多人：“真好！”（他说）。第二天又下雨了，大家都留在家里读书。"
TRADITIONAL = "今天下午我們去公園散步，看見了許多人。第二天又下雨了，大家都留在家裡讀書，還說了很多話。"


def rows(path: Path, data: bytes | None = None, **options: str) -> list[Row]:
    if data is not None:
        path.write_bytes(data)
    return list(read_rows(Source(path.name, path, path.stat().st_size), **options))


def faults(path: Path, data: bytes | None = None) -> dict[str, str]:
    """Origin to reason of what is lost; what is kept must then be nothing."""
    read = rows(path, data)
    assert all(row.reason for row in read)
    return {row.origin: row.reason or "" for row in read}


@pytest.fixture(scope="module", autouse=True)
def one_child() -> Iterator[None]:
    yield
    guard.GUARD.end()


def test_a_word_document_is_read_in_its_order(tmp_path: Path) -> None:
    [row] = rows(tmp_path / "报告.docx", docx())
    assert row.text == (
        "# 年度报告\n\n第一段，有两行\n在这里。\n\n## 二、表格\n\n- 甲项\n- 乙项\n\n名称 | 数量\n苹果 | 3\n\n"
        "最后一段，新写的。\n\n一条脚注。"
    )
    assert (row.id, row.source, row.origin) == ("报告.docx",) * 3


def test_a_book_is_read_in_the_order_of_its_spine_and_a_lost_chapter_is_counted(tmp_path: Path) -> None:
    read = rows(
        tmp_path / "book.epub",
        epub({"b.xhtml": "<h1>第一章</h1><p>先读这里。</p>", "a.xhtml": "<h1>第二章</h1><p>后读这里。</p>", "gone.xhtml": None}),
    )
    assert read[0].text == "# 第一章\n\n先读这里。\n\n# 第二章\n\n后读这里。\n\n"
    assert [(r.origin, r.reason) for r in read[1:]] == [("book.epub#OEBPS/gone.xhtml", "broken_document")]


def test_a_locked_book_is_counted(tmp_path: Path) -> None:
    assert faults(tmp_path / "a.epub", epub({"a.xhtml": "<p>x</p>"}, locked=["OEBPS/a.xhtml"])) == {"a.epub": "encrypted"}


def test_pdf_pages_are_one_document_and_pages_without_text_are_counted(tmp_path: Path) -> None:
    read = rows(tmp_path / "a.pdf", pdf("Page one of it.", "", "Page three of it."))
    assert [(row.text, row.reason) for row in read if row.reason is None] == [("Page one of it.\n\nPage three of it.\n\n", None)]
    assert [(row.origin, row.reason) for row in read[1:]] == [("a.pdf#page=2", "no_text")]
    assert "1 of 3 pages" in read[1].text


def test_real_pdf_files(test_data: Path) -> None:
    found = find_sources([test_data / "dirty" / "pdf"]).sources
    read = {source.name.removeprefix("pdf/"): list(read_rows(source)) for source in found}
    reasons = {name: [row.reason for row in got] for name, got in read.items()}
    scans = {"imagemagick-ASCII85Decode.pdf", "imagemagick-CCITTFaxDecode.pdf", "imagemagick-lzw.pdf"}
    assert len(found) == 16
    assert reasons["libreoffice-writer-password.pdf"] == ["encrypted"]
    assert all(reasons[name] == ["no_text"] for name in scans)
    assert all(reasons[name][0] is None for name in {*reasons} - scans - {"libreoffice-writer-password.pdf"})
    assert "Beautiful is better than ugly.\nExplicit is better" in read["google-doc-document.pdf"][0].text
    assert len(read["pdflatex-4-pages.pdf"][0].text) > 14_000


def test_a_page_gives_its_article(tmp_path: Path) -> None:
    [row] = rows(tmp_path / "a.html", page(STORY * 3).encode())
    assert row.text == f"# 散步\n\n{STORY * 3}\n\n- 一、公园\n- 二、读书\n\n天气 | 地点\n雨 | 家"


@pytest.mark.parametrize(
    ("charset", "declared"), [("gb18030", "gb2312"), ("big5", "big5"), ("utf-8", "gb2312"), ("utf-16", "utf-8"), ("shift_jis", "Shift_JIS")]
)
def test_a_page_is_decoded_by_what_it_declares_unless_that_cannot_be(charset: str, declared: str) -> None:
    text = "これは日本語の文章です。" * 9 if charset == "shift_jis" else TRADITIONAL
    html = f'<html><head><meta charset="{declared}"></head><body><p>{text}</p></body></html>'
    assert decode_page(html.encode(charset)) == html


def test_a_stray_byte_does_not_cost_a_page_but_noise_does(tmp_path: Path) -> None:
    data = page(STORY * 30).encode()
    [row] = rows(tmp_path / "a.html", data.replace("许多人".encode(), "许多\xff人".encode().replace("\xff".encode(), b"\xff"), 1))
    assert row.text.count("\ufffd") == 1
    assert faults(tmp_path / "b.html", b"<p>" + random.Random(0).randbytes(4000)) == {"b.html": "undecodable"}


def test_a_crawl_gives_a_document_for_each_page_and_counts_the_rest(tmp_path: Path) -> None:
    html = page(STORY * 3).encode()
    records = warc(
        ("response", "http://a.cn/1", "text/html; charset=utf-8", html), ("response", "http://a.cn/x.png", "image/png", b"\x89PNG"),
        ("response", "http://a.cn/2", "text/html", page(TRADITIONAL * 3).encode("big5", "xmlcharrefreplace").replace(b"utf-8", b"big5")),
        ("conversion", "http://a.cn/3", "text/plain", STORY.encode()), ("request", "http://a.cn/1", "", b""),
        ("response", "http://a.cn/404", "text/html", html, 404),
    )  # fmt: skip
    for name, data in {"a.warc": records, "a.warc.gz": gzip.compress(records), "b.warc.zst": zstandard.compress(records)}.items():
        read = rows(tmp_path / name, data)
        assert [(row.id, row.reason) for row in read] == [
            ("http://a.cn/1", None), (f"{name}:2", "not_text"), ("http://a.cn/2", None), ("http://a.cn/3", None),
            (f"{name}:5", "http_status"),
        ]  # fmt: skip
        assert STORY in read[0].text
        assert TRADITIONAL in read[2].text
        assert {row.source for row in read if row.reason is None} == {name}
        assert read[1].text == "image/png http://a.cn/x.png"


def test_articles_of_real_pages(test_data: Path) -> None:
    """Measured .968 over both halves; what a change of the rules would have to explain."""
    pages = extraction.read_pages(test_data)
    extract = extraction.ours()
    assert fmean(extraction.bag_f1(extract(page["html"]), page["text"]) for page in pages) > 0.96


TABLE = [("id", "text", "lang"), ("1", STORY, "zh"), ("2", 'says "hi", twice', ""), ("3", "two\nlines", "en")]


def as_csv(table: list[tuple[str, ...]]) -> bytes:
    return "".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in table).encode()


def test_tables_are_read_by_the_name_of_a_column(tmp_path: Path) -> None:
    frame = pl.DataFrame(TABLE[1:], schema=TABLE[0], orient="row")
    frame.write_parquet(tmp_path / "a.parquet")
    tsv = "\n".join("\t".join(row) for row in TABLE[:3]).encode() + b'\n3\t"two quoted ""words"""\ten\n'
    files = {
        "a.csv": as_csv(TABLE),
        "b.csv.gz": gzip.compress(as_csv(TABLE)),
        "c.csv": as_csv(TABLE).decode().encode("gb18030"),
        "a.parquet": None,
    }
    for name, data in files.items():
        read = rows(tmp_path / name, data)
        assert [(r.id, r.text, r.lang) for r in read] == TABLE[1:], name
    assert [r.text for r in rows(tmp_path / "a.tsv", tsv)] == [STORY, 'says "hi", twice', 'two quoted "words"']
    assert [r.text for r in rows(tmp_path / "a.csv", column="lang")] == ["zh", "", "en"]


def test_a_column_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path: Path) -> None:
    pl.DataFrame({"body": ["a"], "score": [1]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("body,score\na,1\n")
    for name in ("a.parquet", "a.csv"):
        with pytest.raises(UserError, match=rf"{name} has no column 'text'; its columns: body, score; .*--set text_column"):
            rows(tmp_path / name)
    with pytest.raises(UserError, match="column 'score' holds Int64"):
        rows(tmp_path / "a.parquet", column="score")
    artifact = build_corpus(tmp_path, "c", [tmp_path / "a.csv"], CorpusSettings(min_chars=1, text_column="body"))
    assert artifact.manifest["counts"]["documents"]["kept"] == 1


def test_faults_of_single_records_cost_these(tmp_path: Path) -> None:
    data = b"id,text\n1,one\n2,two,too many\n3\n4,four\n"
    assert [(r.origin, r.reason) for r in rows(tmp_path / "a.csv", data)] == [
        ("a.csv:2", None), ("a.csv:3", "malformed_row"), ("a.csv:4", "malformed_row"), ("a.csv:5", None),
    ]  # fmt: skip
    long = b"x" * (MAX_LINE_BYTES + 1)
    for name in ("b.csv", "b.tsv"):
        read = rows(tmp_path / name, b"text\nbefore\n" + long + b"\nafter\xe2\x80\xa8the line\n")
        assert [(r.text[:20], r.reason) for r in read] == [
            ("before", None), ("a line of more than ", "oversized_row"), ("after\u2028the line", None),
        ]  # fmt: skip
    pl.DataFrame({"text": ["one", None, "three"]}).write_parquet(tmp_path / "a.parquet")
    assert [r.reason for r in rows(tmp_path / "a.parquet")] == [None, "malformed_row", None]


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), min_size=1, max_size=20), min_size=1, max_size=6)
)
def test_a_csv_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    assert [row.text for row in rows(path, as_csv([("text",), *((text,) for text in texts)]))] == texts


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.compress])
def test_packed_and_plain_files_give_the_same_rows(tmp_path: Path, packed: object) -> None:
    suffix = ".gz" if packed is gzip.compress else ".zst"
    line = json.dumps({"text": STORY}).encode() + b"\n"
    for name, data in {
        "a.txt": STORY.encode(),
        "a.jsonl": line,
        "a.html": page(STORY).encode(),
        "a.docx": docx(),
        "a.pdf": pdf("One."),
    }.items():
        plain = rows(tmp_path / name, data)
        unpacked = rows(tmp_path / (name + suffix), packed(data[: len(data) // 2]) + packed(data[len(data) // 2 :]))  # type: ignore[operator]
        assert [row.text for row in unpacked] == [row.text for row in plain], name
    assert rows(tmp_path / f"bare{suffix}", packed(line))[0].text == STORY  # type: ignore[operator]
    assert rows(tmp_path / f"web{suffix}", packed(page(STORY).encode()))[0].text.startswith("# 散步")  # type: ignore[operator]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "gb18030", "utf-32"])
def test_json_lines_and_tables_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in (STORY, TRADITIONAL))
    assert [r.text for r in rows(tmp_path / "a.jsonl", lines.encode(encoding))] == [STORY, TRADITIONAL]
    assert [r.text for r in rows(tmp_path / "a.csv", f"text\n{STORY}\n{TRADITIONAL}\n".encode(encoding))] == [STORY, TRADITIONAL]


def test_encodings_of_real_text_are_detected_or_refused_but_never_wrong(test_data: Path) -> None:
    """Of 300 texts in each encoding: all of 100 characters or more right but a few, which are refused; none misread."""
    lines = zstandard.ZstdDecompressor().stream_reader((test_data / "qa" / "drcd.jsonl.zst").read_bytes(), read_across_frames=True).read()
    texts = [json.loads(line)["context"][:400] for line in lines.splitlines()[:300]]
    for encoding in ("utf-8", "utf-16", *CHINESE):
        samples = [(text, text.encode(encoding)) for text in texts if text.encode(encoding, "ignore").decode(encoding) == text]
        found = [(text, data, detect_encoding(lambda data=data: [data])) for text, data in samples]
        assert sum(name is not None for _, _, name in found) >= 0.97 * len(samples) > 250, encoding
        assert all(data.decode(name).removeprefix("\ufeff") == text for text, data, name in found if name), encoding


def test_text_files_in_other_encodings_can_be_undone_to_their_bytes(tmp_path: Path) -> None:
    texts = {"a": STORY, "b": TRADITIONAL, "c": STORY[:40], "d": TRADITIONAL[:35], "e": STORY[5:], "f": TRADITIONAL[4:]}
    encoded = zip(texts, ("gb18030", "big5hkscs", "utf-16-le", "utf-16-be", "utf-16", "utf-8-sig"), strict=True)
    files = {f"{name}.txt": texts[name].encode(encoding) for name, encoding in encoded}
    files["g.txt"] = codecs.BOM_UTF16_BE + (STORY[9:] + "\r\n").encode("utf-16-be")
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    options = CorpusSettings(min_chars=5, validation_fraction=0.0, near_duplicates=False)
    made = build_corpus(tmp_path / "home", "c", [tmp_path / name for name in files], options)
    assert {restored.id: restored.data for restored in restored_documents(made)} == files
