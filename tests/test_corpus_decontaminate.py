import json
import random
import re
from pathlib import Path

import opencc
import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.artifacts import Artifact, list_artifacts
from feilun.cli import main
from feilun.corpus import read_documents
from feilun.corpus.decontaminate import DecontaminationSettings, Decontaminator, protected_texts
from feilun.corpus.edits import undo_edits
from feilun.types import UserError

QUESTION = (
    "珍妮特的鸭子每天下 16 颗蛋。她每天早上早餐时吃 3 颗，每天用 4 颗为自己的朋友做松饼。剩下的鸭蛋她每天拿去农贸市场卖，她每天赚多少钱？"
)
ENGLISH = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends every day with four."
)
FILLER = "今天下午我们去公园散步，看见了许多人。第二天又下雨了，大家都留在家里读书，谁也没有出门。"
TO_TRADITIONAL = opencc.OpenCC("s2t")


def verdicts(protected: dict[str, list[str]], *texts: str | None, **changes: object) -> list[str | None]:
    decontaminator = Decontaminator(protected, DecontaminationSettings(**changes))  # type: ignore[arg-type]
    return decontaminator.verdicts(pl.Series(texts, dtype=pl.String)).to_list()


def reflowed(text: str, dice: random.Random) -> str:
    """Line ends and spaces where another page would put them, other signs, other width."""
    text = re.sub(r"[，。]", lambda m: dice.choice([m[0], ",", "\n", " "]), text)
    return "".join(c + dice.choice(["", "", "", "\n", " "]) if "\u4e00" <= c < "\ua000" else c for c in text).upper()


@pytest.mark.parametrize(
    "change",
    [
        str, TO_TRADITIONAL.convert, str.upper, lambda t: t.replace(" ", "\n"), lambda t: reflowed(t, random.Random(3)),
        lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t), lambda t: re.sub(r"[^\w\s]", "", t),
    ],
)  # fmt: skip
@pytest.mark.parametrize("question", [QUESTION, ENGLISH])
def test_neither_script_nor_width_nor_lines_hide_a_protected_text(question: str, change) -> None:  # type: ignore[no-untyped-def]
    hidden = FILLER * 3 + "\n" + change(question) + "\n" + FILLER
    assert verdicts({"maths": [question], "other": ["完全不相干的另外一道题目在这里等着大家来回答"]}, FILLER, hidden, None, "") == [
        None,
        "protected:maths",
        None,
        None,
    ]


def test_a_part_counts_from_half_of_a_text_or_from_many_grams_on() -> None:
    quarter, half = QUESTION[: len(QUESTION) // 4], QUESTION[: 2 * len(QUESTION) // 3]
    assert verdicts({"m": [QUESTION]}, quarter, half) == [None, "protected:m"]
    long = "".join(chr(0x4E00 + i * 7) for i in range(1000))
    assert verdicts({"m": [long]}, long[100:135], long[100:136]) == [None, "protected:m"]
    assert verdicts({"m": [long]}, long[100:113], max_grams=1) == ["protected:m"]


def test_a_short_text_is_found_only_where_it_stands_alone_and_a_shorter_one_is_counted() -> None:
    protected = {"s": ["法国的首都是哪里", "Who should Derek hug after that?", "你好吗", "???", ""]}
    texts = ["问：法國的首都是哪裡？答：巴黎", "我想知道法国的首都是哪里的人很多", "He said: who should\nDerek hug after that", "你好吗"]
    assert verdicts(protected, *texts) == ["protected:s", None, "protected:s", None]
    decontaminator = Decontaminator(protected)
    assert (decontaminator.num_protected, decontaminator.num_unprotected) == (2, 3)


def test_the_lines_that_are_hit_can_be_cut_and_put_back() -> None:
    texts = pl.Series([f"{FILLER}\n{QUESTION}\n{FILLER}", FILLER, TO_TRADITIONAL.convert(QUESTION), None])
    edited = Decontaminator({"maths": [QUESTION]}).cut(texts)
    assert edited.texts.to_list() == [f"{FILLER}\n{FILLER}", FILLER, "", None]
    assert edited.edits["rule"].unique().to_list() == ["protected"]
    assert [undone.text for undone in undo_edits(edited.texts[:3], edited.edits)] == texts[:3].to_list()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(alphabet="甲乙丙丁 ab1，\n。𠀀é", max_size=60), max_size=8), st.integers(1, 40))
def test_what_is_found_does_not_depend_on_the_block_it_stands_in(texts: list[str], block_chars: int) -> None:
    protected = {"x": [*texts[::2], "甲乙丙丁甲乙丙丁甲乙"], "y": texts[1::2]}
    decontaminator = Decontaminator(protected, DecontaminationSettings(n=8, min_units=2))
    together = list(decontaminator.hits(pl.Series(texts, dtype=pl.String)))
    alone = [hit._replace(row=row) for row, text in enumerate(texts) for hit in decontaminator.hits(pl.Series([text]))]
    assert together == alone == list(decontaminator.hits(pl.Series(texts, dtype=pl.String), block_chars=block_chars))


def test_every_protected_text_contains_itself_and_nothing_is_found_without_any() -> None:
    assert verdicts({"m": [QUESTION], "e": [ENGLISH]}, QUESTION, ENGLISH, FILLER) == ["protected:m", "protected:e", None]
    assert verdicts({}, QUESTION) == [None]
    assert verdicts({"m": []}, QUESTION) == [None]


def test_settings_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(UserError, match="min_units <= n"):
        Decontaminator({}, DecontaminationSettings(n=4))
    with pytest.raises(UserError, match="0 < min_overlap <= 1"):
        Decontaminator({}, DecontaminationSettings(min_overlap=0))


def test_planted_exam_questions_are_found_in_real_text_and_real_text_is_clean(test_data: Path) -> None:
    def rows(name: str) -> list[dict[str, str]]:
        lines = zstandard.ZstdDecompressor().stream_reader((test_data / name).read_bytes(), read_across_frames=True).read().split(b"\n")
        return [json.loads(line) for line in lines if line]

    dice = random.Random(5)
    protected = {
        "mgsm": [row["question"] for row in rows("exams/mgsm_zh.jsonl.zst")],
        "gsm8k": [row["question"] for row in rows("exams/gsm8k_test.jsonl.zst")[:300]],
    }
    clean = [row["text"] for row in rows("corpus/zh_everyday.jsonl.zst")]
    questions = [(name, text) for name, texts in protected.items() for text in texts]
    planted = []
    for name, text in questions:
        lines = dice.choice(clean).split("\n")
        lines.insert(
            dice.randrange(len(lines) + 1), reflowed(TO_TRADITIONAL.convert(text), dice) if name == "mgsm" else text.replace(" ", "\n")
        )
        planted.append("\n".join(lines))
    decontaminator = Decontaminator(protected)
    assert decontaminator.verdicts(pl.Series(planted)).to_list() == [f"protected:{name}" for name, _ in questions]
    assert decontaminator.verdicts(pl.Series(clean)).null_count() == len(clean)


def built(home: Path, *words: str) -> Artifact:
    assert main(["--home", str(home), "corpus", "build", "c", *words, "--set", "workers=1", "--set", "min_chars=10"]) == 0
    return list_artifacts(home, "corpus")[-1]


def test_a_build_drops_or_cuts_what_is_protected_and_the_recipe_says_what_was_looked_for(home: Path, tmp_path: Path) -> None:
    paragraphs = {
        "exam.md": f"{QUESTION}\n\n{ENGLISH}\n\n短",
        "clean.md": FILLER,
        "hit.md": f"{FILLER}甲\n\n{QUESTION}\n\n{FILLER}乙",
        "bare.md": QUESTION,
    }
    for name, text in paragraphs.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    inputs = [str(tmp_path / name) for name in ("clean.md", "hit.md", "bare.md")]
    dropped = built(home, *inputs, "--protect", str(tmp_path / "exam.md"))
    assert dropped.manifest["counts"]["dropped"] == {"protected:exam": 2}
    said = dropped.manifest["recipe"]["protected"]
    assert (said["sets"], said["texts"], said["too_short_to_look_for"]) == (["exam"], 2, 1)
    cut = built(home, *inputs, "--protect", str(tmp_path / "exam.md"), "--protect-by", "cut")
    texts = sorted(d.text for part in ("train", "validation") for d in read_documents(cut, part))  # type: ignore[arg-type]
    assert texts == sorted([FILLER, f"{FILLER}甲\n\n\n{FILLER}乙"])
    assert cut.manifest["counts"]["dropped"] == {"protected:exam": 1}
    assert main(["--home", str(home), "corpus", "undo", cut.ref, str(tmp_path / "raw"), "--all"]) == 0
    assert any(path.is_file() and path.read_text(encoding="utf-8") == paragraphs["hit.md"] for path in (tmp_path / "raw").rglob("*"))


@pytest.mark.parametrize(
    ("name", "data"), [("a.pdf", b"x"), ("a.jsonl", b'{"q": '), ("a.txt", b"\xff\xfe"), ("a.txt.zst", b"no"), ("none.txt", None)]
)
def test_a_file_of_protected_texts_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match="protected texts"):
        protected_texts(tmp_path / name)


def test_every_text_of_a_row_is_protected_and_what_describes_it_is_not(tmp_path: Path) -> None:
    row = {"context": "上下文", "qas": [{"question": "问题", "answers": ["答"]}], "source": "某处", "id": "1", "n": 3}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert protected_texts(tmp_path / "a.jsonl") == ["上下文", "问题", "答"]
