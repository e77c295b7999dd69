import json
import os
import random
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.artifacts import Artifact, read_json, verify
from feilun.config import CorpusSettings, load_recipe
from feilun.corpus import build_corpus, build_from_documents, pool, read_documents, report
from feilun.corpus.dedup import in_validation, text_digests
from feilun.corpus.encodings import LineDecoder, detect_encoding
from feilun.corpus.filters import verdicts
from feilun.corpus.language import language_of
from feilun.corpus.letters import letters_of
from feilun.corpus.readers.lines import MAX_LINE_BYTES, split_lines
from feilun.corpus.readers.rows import PIECE_CHARS
from feilun.corpus.repair import repair_texts
from feilun.corpus.repair.characters import NFC_INERT
from feilun.corpus.shards import read_dropped, read_edits
from feilun.corpus.sources import find_sources
from feilun.primer.text import documents
from feilun.types import Document, UserError

SETTINGS = CorpusSettings(min_chars=5, validation_fraction=0.3, near_duplicates=False, filters=False, repeated_line_chars=0, workers=1)
CHINESE = "今天下午我们去公园散步，看见了许多人：“真好！”（他说）。\n第二天又下雨了，大家都留在家里读书。"
TRADITIONAL = "今天下午我們去公園散步，看見了許多人。第二天又下雨了，大家都留在家裡讀書，還說了很多話。"


def build(home: Path, *paths: Path, **changes: object) -> Artifact:
    plain = {"min_chars": 5, "validation_fraction": 0.3, "near_duplicates": False, "filters": False, "repeated_line_chars": 0, "workers": 1}
    return build_corpus(home, "c", paths, CorpusSettings(**(plain | changes)))  # type: ignore[arg-type]


def texts_of(artifact: Artifact) -> list[str]:
    return [d.text for part in ("train", "validation") for d in read_documents(artifact, part)]  # type: ignore[arg-type]


def stats_of(artifact: Artifact) -> dict:
    return read_json(artifact.path / "stats.json")


def write_rows(path: Path, *rows: object) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def repaired(text: str, settings: CorpusSettings = SETTINGS) -> str:
    return repair_texts(pl.Series([text]), pl.Series([""]), settings).texts[0]


def test_reads_every_kind_of_file(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("plain text one", encoding="utf-8")
    (folder / "deep" / "b.md").write_text("# heading two", encoding="utf-8")
    write_rows(folder / "c.jsonl", {"id": "r1", "text": "row text three", "source": "s", "license": "CC0", "lang": "en-GB"})
    rows = json.dumps({"text": "packed row four"}).encode() + b"\n"
    (folder / "d.jsonl.zst").write_bytes(zstandard.compress(rows[:7]) + zstandard.compress(rows[7:]))
    (folder / "e.zst").write_bytes(zstandard.compress(b"packed text five"))
    (folder / "f.zst").write_bytes(zstandard.compress(b'{"text": "bare packed row six"}'))
    artifact = build(tmp_path / "home", folder)
    documents = {d.text: d for part in ("train", "validation") for d in read_documents(artifact, part)}
    assert sorted(documents) == sorted(
        ["plain text one", "# heading two", "row text three", "packed row four", "packed text five", "bare packed row six"]
    )
    assert documents["row text three"] == Document(id="r1", text="row text three", source="s", license="CC0", lang="en")
    assert documents["packed row four"].id == "in/d.jsonl.zst:1"
    assert documents["# heading two"].source == "in/deep/b.md"
    assert verify(artifact) == []


def test_a_file_over_the_piece_size_becomes_several_documents_and_loses_nothing(tmp_path: Path) -> None:
    pieces = ["头" * 30, "y " * (PIECE_CHARS // 2), "尾" * PIECE_CHARS, "z" * (PIECE_CHARS + 9)]
    path = tmp_path / "big.txt"  # 18 MB
    path.write_text("\n\n".join(pieces), encoding="utf-8")
    artifact = build(tmp_path, path)
    whole = "".join("".join(t.split()) for t in texts_of(artifact))
    assert sorted(whole) == sorted("".join("".join(p.split()) for p in pieces))
    assert max(map(len, texts_of(artifact))) <= PIECE_CHARS


def test_a_line_of_many_megabytes_is_one_document_and_one_over_the_limit_a_counted_drop(tmp_path: Path) -> None:
    long, short = "长" * 4_000_000, "short enough"
    path = write_rows(tmp_path / "a.jsonl", {"text": long}, {"text": "x" * (MAX_LINE_BYTES + 1)}, {"text": short})
    artifact = build(tmp_path, path)
    assert sorted(map(len, texts_of(artifact))) == [len(short), len(long)]
    assert stats_of(artifact)["dropped"] == {"oversized_row": 1}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_do_not_depend_on_where_the_chunks_end(size: int) -> None:
    data = "一行\n\r\n三\n\n末".encode()
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    assert list(split_lines(chunks)) == data.split(b"\n")


def test_full_width_punctuation_is_never_folded() -> None:
    text = "“你好，世界！”（１２３）：ＡＢＣ；《书》……——、。？　全角空格ﾊﾟ ①②㎡"
    assert repaired(text) == text


@pytest.mark.parametrize(
    ("raw", "clean", "kind"),
    [
        ("a\r\nb\rc\x0cd\u2028e", "a\nb\nc\nd\ne", "line_ends"),
        ("a\x00b\x07c\x9bd\x7fe", "abcde", "control_characters"),
        ("cafe\u0301 and \uac00\u11a8", "café and \uac01", "unicode_nfc"),
        ("a  \nb\t\n中文\u3000\nc", "a\nb\n中文\nc", "trailing_spaces"),
        ("\ufeffa\ufeff", "a", "byte_order_mark"),
        ("\n\n　　第一行\n\n", "　　第一行", "outer_blank_lines"),
    ],
)
def test_each_repair_does_one_thing_and_says_so(raw: str, clean: str, kind: str) -> None:
    raws = pl.Series([raw, "干净的一行\n\tand another, untouched."])
    texts, edits = repair_texts(raws, pl.Series(["", ""]), SETTINGS)
    assert texts.to_list() == [clean, "干净的一行\n\tand another, untouched."]
    assert (set(edits["rule"]), set(edits["row"])) == ({kind}, {0})


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\r\t  \u3000\ufeff\u0301\x00，。"), max_size=30))
def test_repair_is_complete_and_a_second_pass_changes_nothing(text: str) -> None:
    # Misread UTF-8 is left out: "Â\x08¡" is none until its control is gone, and then says "¡".
    chosen = CorpusSettings(skip_repairs=("mojibake_latin",))
    once = repaired(text, chosen)
    assert repaired(once, chosen) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not [c for c in once if unicodedata.category(c) == "Cc" and c not in "\n\t"]
    assert once.split("\n")[-1:] == [line.rstrip(" \t\u00a0\u3000") for line in once.split("\n")][-1:]


def test_what_repair_treats_as_inert_is_inert_under_nfc() -> None:
    inert = pl.Series([chr(c) for c in range(0x10FFFF) if not 0xD800 <= c <= 0xDFFF])
    inert = inert.filter(inert.str.contains(f"[{NFC_INERT}]"))
    assert len(inert) > 20_000
    joined_by = {
        chr(int(part, 16))
        for c in map(chr, range(0x30000))
        for part in unicodedata.decomposition(c).split()[1:]
        if "<" not in unicodedata.decomposition(c)
    }
    for character in inert:
        assert unicodedata.normalize("NFC", character) == character
        assert not unicodedata.combining(character)
        assert character not in joined_by


def test_encodings(tmp_path: Path) -> None:
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbf" + "带标记的文本".encode())
    (tmp_path / "gb.txt").write_bytes(CHINESE.encode("gb18030"))
    (tmp_path / "trad.txt").write_bytes(TRADITIONAL.encode("gb18030"))
    (tmp_path / "broken.txt").write_bytes(("完整的中文句子，" * 20).encode()[:-1] + b"\xff" + "。".encode())
    (tmp_path / "latin.txt").write_bytes("déjà vu, naïveté".encode("latin-1"))
    (tmp_path / "big5.txt").write_bytes((TRADITIONAL + "夜裡很冷。").encode("big5"))
    (tmp_path / "wide.txt").write_bytes("utf sixteen 中文".encode("utf-16"))
    artifact = build(tmp_path / "home", tmp_path)
    assert sorted(texts_of(artifact)) == sorted(["带标记的文本", CHINESE, TRADITIONAL, TRADITIONAL + "夜裡很冷。", "utf sixteen 中文"])
    stats = stats_of(artifact)
    assert stats["dropped"] == {"undecodable": 2}
    assert (stats["repaired"]["byte_order_mark"], stats["repaired"]["gb18030_to_utf8"]) == (2, 2)
    assert {row["id"].split("/")[-1] for row in read_dropped(artifact)} == {"broken.txt", "latin.txt"}


def test_rows_in_gb18030_are_read_and_a_broken_line_among_utf8_is_a_drop(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "gb.jsonl", {"text": "plain ascii row"}, {"text": CHINESE}, {"text": TRADITIONAL}).read_text(
        encoding="utf-8"
    )
    (tmp_path / "gb.jsonl").write_bytes(rows.encode("gb18030"))
    artifact = build(tmp_path / "one", tmp_path / "gb.jsonl")
    assert sorted(texts_of(artifact)) == sorted(["plain ascii row", CHINESE, TRADITIONAL])
    (tmp_path / "mixed.jsonl").write_bytes(rows.encode() + json.dumps({"text": "中国人"}, ensure_ascii=False).encode("gb18030"))
    artifact = build(tmp_path / "two", tmp_path / "mixed.jsonl")
    assert stats_of(artifact)["dropped"] == {"undecodable": 1}
    assert next(read_dropped(artifact))["origin"] == "mixed.jsonl:4"


def test_utf8_with_one_broken_byte_never_becomes_mojibake() -> None:
    rng = random.Random(0)
    for _ in range(300):
        sentence = "".join(
            rng.choices("的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工", k=rng.randrange(2, 40))
        )
        data = bytearray(sentence.encode())
        data[rng.randrange(len(data))] = 0xFF if rng.random() < 0.2 else rng.randrange(0x80, 0x100)
        decoded = LineDecoder(lambda data=data: [bytes(data)]).decode(bytes(data))
        assert decoded is None or decoded[1] == "utf-8"
    assert detect_encoding(lambda: [b"\xd6", b"\xd0\xce", b"\xc4"]) == "gb18030"


def test_drops_are_counted_and_readable(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "rows.jsonl", {"id": "good", "text": "a good document"}, '{"text": "broken',
        {"id": "e", "text": " \n\u3000 "}, {"id": "s", "text": "a b c"}, {"no": "text"}, {"text": None}, {"text": 5}, "[1]", "",
        {"id": "dup", "text": "a good document  \r\n"}, '{"text": "half of a pair \\ud83d"}',
        {"id": 7, "text": "number as an id", "license": None}, "[" * 100_000,
    )  # fmt: skip
    empty = tmp_path / "empty.txt"
    empty.write_bytes(b"")
    artifact = build(tmp_path, path, empty)
    assert stats_of(artifact)["dropped"] == {"empty": 2, "exact_duplicate": 1, "malformed_row": 7, "too_short": 1}
    dropped = {row["origin"]: row for row in read_dropped(artifact)}
    assert dropped["rows.jsonl:2"]["head"] == '{"text": "broken'
    assert dropped["rows.jsonl:4"] == {"reason": "too_short", "id": "s", "source": "rows.jsonl", "origin": "rows.jsonl:4", "head": "a b c"}
    assert dropped["rows.jsonl:10"]["reason"] == "exact_duplicate"
    assert max(len(row["head"]) for row in dropped.values()) == 200
    assert {d.id for part in ("train", "validation") for d in read_documents(artifact, part)} == {"good", "7"}


def test_too_short_counts_characters_that_are_not_spaces() -> None:
    texts = pl.Series(["四个字啊", "五个字整啊", "a b c d e", " " * 5000 + "a bcd", " " * 5000 + "a bcde"])
    langs = pl.repeat("zh", len(texts), eager=True)
    settings = CorpusSettings(min_chars=5, filters=False)
    assert verdicts(texts, langs, letters_of(texts, langs, settings), settings).to_list() == ["too_short", None, None, "too_short", None]


def test_truncated_or_false_archive_is_a_counted_drop_after_what_could_be_read(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = b"".join(json.dumps({"text": f"row {i} {rng.random()} " * 40}).encode() + b"\n" for i in range(3000))
    packed = zstandard.compress(rows)
    (tmp_path / "cut.jsonl.zst").write_bytes(packed[: len(packed) * 3 // 4])
    (tmp_path / "false.txt.zst").write_bytes(b"not zstandard at all")
    artifact = build(tmp_path / "home", tmp_path)
    assert stats_of(artifact)["documents"]["kept"] > 500
    assert stats_of(artifact)["dropped"] == {"broken_archive": 2}
    assert {row["id"].split("/")[-1] for row in read_dropped(artifact)} == {"cut.jsonl.zst", "false.txt.zst"}


def test_conversations_are_refused_with_file_and_line(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "chat.jsonl", {"text": 'talks of "messages" freely'}, {"messages": [{"role": "user", "content": "hi"}]})
    with pytest.raises(UserError, match=r'chat\.jsonl:2.*"messages".*feedback import'):
        build(tmp_path, path)
    assert [p.name for p in (tmp_path / "corpus").iterdir()] == [".shards"]


def test_a_file_without_any_text_row_is_an_error_that_shows_the_first(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "p.jsonl", {"prompt": "why?"}, {"prompt": "how?"})
    with pytest.raises(UserError, match=r"p\.jsonl: no line .* p\.jsonl:1.*prompt"):
        build(tmp_path, path)


@pytest.mark.parametrize("num_tasks", [2, 3, 5, 40])
@pytest.mark.parametrize("num_children", [1, 2, 3])
def test_a_team_gives_results_in_the_order_of_the_tasks_and_does_each_once(num_tasks: int, num_children: int) -> None:
    done: list[int] = []

    def work(task: int) -> int:
        time.sleep(0.001 * (task % 5))
        done.append(task)
        return 100 // (task - 50)

    with ThreadPoolExecutor(num_children) as threads:
        shared = pool.Team(threads, num_children)
        assert list(shared.run(work, range(num_tasks))) == [100 // (task - 50) for task in range(num_tasks)]
        assert sorted(done) == [*range(num_tasks)]
        with pytest.raises(ZeroDivisionError):
            list(shared.run(work, range(40, 60)))


def test_paths_that_cannot_be_used_are_errors(tmp_path: Path) -> None:
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    os.mkfifo(tmp_path / "pipe.txt")
    for path, message in [("nowhere.txt", "no such file"), ("x.xlsx", "suffix '.xlsx'; allowed: .txt"), ("pipe.txt", "not a regular file")]:
        with pytest.raises(UserError, match=message):
            build(tmp_path, tmp_path / path)
    with pytest.raises(UserError, match="no path given"):
        build(tmp_path)
    with pytest.raises(UserError, match=r"no readable text .*x\.xlsx \(suffix '\.xlsx'\)"):
        build(tmp_path, tmp_path)
    (tmp_path / "short.txt").write_text("ab")
    with pytest.raises(UserError, match="no document is left of 1; dropped: too_short 1"):
        build(tmp_path, tmp_path / "short.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "locked.txt"
    path.write_text("secret text", encoding="utf-8")
    path.chmod(0)
    with pytest.raises(UserError, match=r"cannot read .*locked\.txt: Permission denied"):
        build(tmp_path, path)


def test_what_is_passed_over_in_a_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "a.txt").write_text("hidden text")
    (folder / "a.txt").write_text("text to be read")
    (folder / "b.xlsx").write_bytes(b"PK")
    (folder / "loop").symlink_to(folder)
    artifact = build(tmp_path, folder, folder / "a.txt")
    assert stats_of(artifact)["skipped"] == [
        {"name": "in/.git", "reason": "hidden"},
        {"name": "in/b.xlsx", "reason": "suffix '.xlsx'"},
        {"name": "in/loop", "reason": "linked folder"},
    ]
    assert texts_of(artifact) == ["text to be read"]
    assert "suffix '.xlsx': 1: in/b.xlsx" in report(artifact)


def test_protected_texts_are_dropped_for_the_reason_given(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", *({"text": f"number {i} is mentioned"} for i in range(20)))
    artifact = build_corpus(tmp_path, "c", [path], SETTINGS, protect=lambda text: "reserved_pair" if " 7 " in text else None)
    assert stats_of(artifact)["dropped"] == {"reserved_pair": 1}
    assert not [text for text in texts_of(artifact) if " 7 " in text]


def test_parts_follow_the_text_alone(tmp_path: Path) -> None:
    rows = [{"id": str(i), "text": f"document number {i} 号文档"} for i in range(300)]
    one = build(tmp_path / "one", write_rows(tmp_path / "a.jsonl", *rows))
    other = build(tmp_path / "other", write_rows(tmp_path / "b.jsonl", *reversed(rows), {"text": "one more document"}))
    train, validation = ({d.text for d in read_documents(one, part)} for part in ("train", "validation"))
    assert 60 < len(validation) < 120
    assert not train & validation
    assert {d.text for d in read_documents(other, "validation")} - {"one more document"} == validation


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.999])
def test_validation_fraction_is_kept(fraction: float) -> None:
    digests = text_digests(pl.Series([f"text {i}" for i in range(4000)]))
    share = in_validation(digests, fraction).mean()
    assert abs(share - fraction) < 0.01


def test_same_input_same_artifact_whatever_the_order_of_paths_or_the_place(tmp_path: Path) -> None:
    hashes = set()
    for place, names in (("one", "abc"), ("two", "cab")):
        folder = tmp_path / place
        folder.mkdir()
        paths = [write_rows(folder / f"{n}.jsonl", {"text": f"text of {n}, repeated"}, {"text": "in every file"}) for n in names]
        hashes.add(build(tmp_path / f"home-{place}", *paths).hash)
        hashes.add(build(tmp_path / f"home-{place}", *paths, workers=3).hash)
    assert len(hashes) == 1


def test_worker_processes_give_the_artifact_that_one_process_gives(tmp_path: Path) -> None:
    # Enough packed bytes to be worth a pool, cheap to wash: nearly all of it is one line too long to be kept.
    filler = random.Random(0).randbytes(pool.MIN_POOL_BYTES // pool.PACKED_RATIO // 2).replace(b"\n", b" ")
    rows = "".join(json.dumps({"text": f"{CHINESE}{i}\r\n"}) + "\n" for i in range(50)).encode()
    for name in "abc":
        (tmp_path / f"{name}.jsonl.zst").write_bytes(zstandard.compress(rows.replace(b"49", name.encode()) + b'"' + filler + b'"\n'))
    paths = [tmp_path / f"{name}.jsonl.zst" for name in "abc"]
    sources = find_sources(paths).sources
    assert len(pool.group_sources(sources)) == 3
    assert sum(map(pool._text_bytes, sources)) >= pool.MIN_POOL_BYTES
    seen: list[tuple[int, int]] = []
    alone = build(tmp_path / "alone", *paths)
    pooled = build_corpus(
        tmp_path / "pooled",
        "c",
        paths,
        CorpusSettings(min_chars=5, validation_fraction=0.3, near_duplicates=False, filters=False, repeated_line_chars=0, workers=2),
        progress=lambda *at: seen.append(at),
    )
    assert pooled.hash == alone.hash
    assert seen == sorted(seen)
    assert seen[-1] == (sum(s.num_bytes for s in sources),) * 2


def test_shards_are_bounded_and_hold_every_document_in_order(tmp_path: Path) -> None:
    rows = [{"id": f"{i:03d}", "text": f"{i:03d} " + "字" * 100} for i in range(200)]
    path = write_rows(tmp_path / "a.jsonl", *rows)
    artifact = build(tmp_path, path, shard_bytes=5000, validation_fraction=0.0)
    shards = sorted(artifact.path.glob("train-*.parquet"))
    assert len(shards) == 13
    assert all(pl.read_parquet(s)["text"].str.len_bytes().sum() < 5000 + 304 for s in shards)
    assert [d.id for d in read_documents(artifact)] == [row["id"] for row in rows]
    assert list(read_documents(artifact, "validation")) == []
    assert "validation part is empty" in report(artifact)


def test_shards_of_edits_are_bounded_by_what_was_changed(tmp_path: Path) -> None:
    rows = [{"id": f"{i:03d}", "text": f"{i:03d} " + "字" * 100 + "\x00" * 500 + "尾"} for i in range(40)]
    artifact = build(tmp_path, write_rows(tmp_path / "a.jsonl", *rows), shard_bytes=5000)
    shards = list(read_edits(artifact))
    assert len(shards) > 3
    assert sum(len(shard["id"].unique()) for shard in shards) >= 40


def test_documents_in_memory_take_the_same_way(tmp_path: Path) -> None:
    documents = [Document(id=str(i), text=f"{CHINESE} 第{i % 9}篇  \n", source="gen", license="CC0") for i in range(20)]
    bad = Document(id="bad", text="half a pair \ud83d")
    made = build_from_documents(tmp_path, "g", iter([*documents, bad]), SETTINGS, generator={"seed": 1})
    again = build_from_documents(tmp_path / "again", "g", iter([*documents, bad]), SETTINGS, generator={"seed": 1})
    assert made.hash == again.hash
    assert stats_of(made)["dropped"] == {"exact_duplicate": 11, "malformed_row": 1}
    assert {d.lang for d in read_documents(made)} == {"zh"}
    assert made.manifest["recipe"]["generator"] == {"seed": 1}


def test_the_primers_documents_stay_as_they_are(tmp_path: Path) -> None:
    made = list(documents(0, 3000))
    artifact = build_from_documents(tmp_path, "demo", made, load_recipe("demo").corpus)
    assert set(texts_of(artifact)) == {document.text for document in made}
    assert set(stats_of(artifact)["dropped"]) <= {"exact_duplicate"}
    assert all(frame.is_empty() for frame in read_edits(artifact))


def test_language_by_script() -> None:
    expected = {
        "这是一段中文，with a few English words。": "zh", "An English sentence with a name: 北京.": "en", "これは日本語の文章です。": "und",
        "Это русский текст": "und", "déjà été à la fête, où ça?": "und", "12345 !!": "und", "": "und",
    }  # fmt: skip
    assert dict(zip(expected, language_of(pl.Series(list(expected))), strict=True)) == expected


def test_report_is_a_table_for_people(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "a.jsonl", *({"text": f"document {i}\r\nof English text", "license": "CC0"} for i in range(40)), {"text": "x"}
    )
    text = report(build(tmp_path, path))
    assert "41 documents read, 40 kept, 1 dropped" in text
    for line in ("too_short", "line_ends", "CC0", "en ", "train"):
        assert line in text


def test_settings_out_of_range_are_errors(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", {"text": "a document"})
    for change in ({"validation_fraction": 1.0}, {"min_chars": -1}, {"workers": 0}, {"shard_bytes": 0}):
        with pytest.raises(UserError, match=f"{next(iter(change))}="):
            build(tmp_path, path, **change)
    with pytest.raises(UserError, match="part 'test' of a corpus"):
        list(read_documents(build(tmp_path, path), "test"))  # type: ignore[arg-type]


def test_real_text(tmp_path: Path) -> None:
    data = os.environ.get("FEILUN_TEST_DATA")
    if not data:
        pytest.skip("FEILUN_TEST_DATA names no folder of real text")
    interviews, everyday = Path(data) / "dirty" / "zh_interviews", Path(data) / "corpus" / "zh_everyday.jsonl.zst"
    artifact = build(tmp_path, interviews, everyday, min_chars=20, validation_fraction=0.05)
    stats = stats_of(artifact)
    assert stats["documents"]["read"] == 443 + 5
    assert stats["languages"]["zh"]["documents"] >= 440
    kept = sum(
        d.text.count("，") for p in ("train", "validation") for d in read_documents(artifact, p) if d.source.startswith("zh_interviews")
    )
    # Their raw texts have none: a tool folded them all.
    assert kept > 1_900
