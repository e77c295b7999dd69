import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard

from feilun.config import EN_LIMITS, ZH_LIMITS, CorpusSettings, TextLimits
from feilun.corpus.edits import undo_edits
from feilun.corpus.filters import limits_of, verdicts
from feilun.corpus.indicators import lines_of
from feilun.corpus.layout import fences, prose_of
from feilun.corpus.letters import letters_of, repeated_share
from feilun.corpus.lines import RULE, cut_repeated_lines
from feilun.corpus.shingles import code_points

# Of sound text no more than this is dropped; of manuals, whose pages are made by programs, no more than the second figure.
MAX_DROPPED, MAX_DROPPED_MANUALS = 0.012, 0.09
MANUALS = ("en_guides", "zh_tech_books", "zh_tech_guides")


def reason_of(text: str, lang: str = "zh", **changes: object) -> str | None:
    return reasons_of(pl.Series([text]), pl.Series([lang]), CorpusSettings(**changes))[0]  # type: ignore[arg-type]


def reasons_of(texts: pl.Series, langs: pl.Series, settings: CorpusSettings) -> pl.Series:
    return verdicts(texts, langs, letters_of(texts, limits_of(langs), settings), settings)


def sentences(num: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return ["".join(chr(rng.randrange(0x4E00, 0x5E00)) for _ in range(rng.randrange(12, 30))) + "。" for _ in range(num)]


def test_each_limit_has_its_reason() -> None:
    good = sentences(30)
    menu, more = ([line[:6] for line in sentences(30, seed)] for seed in (1, 2))
    cases = {
        "few_letters": "——＊＊＊＝＝＝" * 40 + good[0],
        "repeated_runs": "".join(good[:3] * 12),
        "repeated_lines": "\n".join(good[:12] + good[:8]),
        "unended_lines": "\n".join(menu + good[:1] + more),
        "bullet_lines": "\n".join(f"- {line}" for line in good),
        "ellipsis_lines": "\n".join(f"{line}展开" for line in good),
    }
    limits = {"zh": TextLimits(max_bullet_lines=0.9, min_ended_lines=0.106, max_repeated_runs=0.4, max_repeated_line_chars=0.1)}
    assert {reason: reason_of(text, **limits) for reason, text in cases.items()} == {reason: reason for reason in cases}
    assert reason_of("\n".join(good), **limits) is None
    assert all(reason_of(text, filters=False) is None for text in cases.values())
    assert (
        reason_of(
            "\n".join(f"{line} = {line * 60}" for line in good), "python", code=TextLimits(max_line_chars=1000, max_repeated_runs=1.0)
        )
        == "long_lines"
    )


def test_layout_is_not_taken_for_rubbish() -> None:
    good = sentences(6)
    fenced = "```python\n" + "print('one and the same line of code')\n" * 40 + "```\n"
    table = "".join(f"| {i} | 数值 | 说明 |\n" for i in range(40))
    verse = "\n".join(f"{line[:5]}，{line[5:10]}" for line in sentences(20, 1))
    for text in ("\n\n".join([*good, fenced]), "\n\n".join([*good, table]), verse, "\n".join(good)):
        assert reason_of(text) is None
    assert fences(fenced) == [0, len(fenced) - 4]
    assert fences("a ``` b\n  ~~~\n``` ``` \n ` ``\n\t~~~") == [8, 14, 29]
    assert "print" not in prose_of(pl.Series(["\n\n".join([*good, fenced])]), pl.Series([True]))[0]


def test_limits_follow_the_language() -> None:
    assert limits_of(pl.Series(["zh", "en", "python", "und", ""])).to_list() == ["zh", "en", "code", "other", "other"]


def test_languages_and_blocklist_are_the_users() -> None:
    text = "".join(sentences(20))
    assert reason_of(text, languages=("en",)) == "other_language"
    assert reason_of(text, languages=("en", "zh")) is None
    words = (text[40:44], text[80:84], "不在文中的词")
    assert reason_of(text, blocklist=words) == "blocklist"
    assert reason_of(text, blocklist=words, max_blocked_words=2) is None


def test_repeated_share_counts_what_stood_before_in_the_same_text() -> None:
    texts = ["abcdefgh", "abcdabcd", "aaaaaaaa", "ab", ""]
    share = repeated_share(code_points(texts), 4)
    assert share.tolist() == pytest.approx([0, 1 / 5, 4 / 5, 0, 0])


def test_a_share_that_is_not_beyond_the_limit_may_be_said_to_be_more_but_never_beyond_it() -> None:
    texts = [(text * 3)[: len(text) + 40 * place] for place, text in enumerate("".join(sentences(n, n)) for n in range(3, 60))]
    letters = code_points([*texts, "甲" * 300, "", "短"])
    exact = repeated_share(letters, 16)
    for limit in (0.0, 0.1, 0.198, 0.5, 1.0):
        said = repeated_share(letters, 16, limit)
        assert (said >= exact).all()
        assert ((said > limit) == (exact > limit)).all()
        assert (said[exact > limit] == exact[exact > limit]).all()
    assert 0.1 < exact.max() < 1


def test_what_is_measured_does_not_follow_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.Series(["\n".join(sentences(9, seed)) for seed in range(5)] + ["", "- a\n- b", "```\nx\n```"])
    kinds = pl.Series(["zh", "code", "zh", "other", "zh", "en", "zh", "en"])
    monkeypatch.setattr("feilun.corpus.shingles.PIECE_CHARS", 300)
    lines, letters = lines_of(texts, EN_LIMITS), letters_of(texts, kinds, CorpusSettings())
    alone = [(texts[place : place + 1], kinds[place : place + 1]) for place in range(len(texts))]
    assert lines.drop("row").equals(pl.concat([lines_of(text, EN_LIMITS) for text, _ in alone]).drop("row"))
    for one, other in zip(zip(*letters[:3], strict=True), (letters_of(*pair, CorpusSettings())[:3] for pair in alone), strict=True):
        assert one == tuple(column[0] for column in other)
    sketches = [letters_of(*pair, CorpusSettings()).signatures.sketch for pair in alone]
    assert letters.signatures.sketch.tolist() == np.concatenate(sketches).tolist()


def test_a_cheap_look_at_lines_says_what_the_dear_one_does() -> None:
    """Doubtful lines are looked at again: ended inside, and items."""
    inside = "\n".join(f"甲乙丙，丁戊己{i}" for i in range(20))
    items = "\n".join(f"- 第{i}件事情" for i in range(20))
    shares = lines_of(pl.Series([inside, items, inside + "\n" + items]), ZH_LIMITS)
    assert shares["ended_lines"].to_list() == [1, 0, 1]
    assert shares["bullet_lines"].to_list() == [0, 1, 0.5]


def test_a_long_line_that_stood_before_is_cut_and_can_be_put_back() -> None:
    title = "这是一个相当长的标题，它在正文里又出现了一次，有三十个字以上的样子"
    assert len(title) >= 30
    code = "```\n" + "same_call(with_arguments, of_some_length)\n" * 3 + "```"
    texts = pl.Series([f"{title}\n第一段。\n{title}\n第二段。\n{title}", "短行\n短行\n短行", f"正文\n{code}", "甲" * 40 + "\n" + "甲" * 40])
    cut, edits = cut_repeated_lines(texts, texts.is_not_null(), 30)
    assert cut.to_list() == [f"{title}\n第一段。\n第二段。", texts[1], texts[2], "甲" * 40]
    assert edits["rule"].unique().to_list() == [RULE]
    assert [undone.text for undone in undo_edits(cut, edits)] == texts.to_list()
    assert cut_repeated_lines(cut, texts.is_not_null(), 30).texts.to_list() == cut.to_list()
    assert cut_repeated_lines(texts, texts.is_null(), 30).edits.is_empty()


@pytest.mark.slow
def test_sound_sources_are_kept(test_data: Path) -> None:
    for path in sorted((test_data / "corpus").glob("*.jsonl.zst")):
        stream = zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True)
        rows = [json.loads(line) for line in stream.read().splitlines()]
        texts, langs = (pl.Series([row[key] for row in rows]) for key in ("text", "lang"))
        texts, _ = cut_repeated_lines(texts, limits_of(langs) != "code", CorpusSettings().repeated_line_chars)
        dropped = reasons_of(texts, langs, CorpusSettings()).drop_nulls()
        assert len(dropped) <= len(texts) * (MAX_DROPPED_MANUALS if path.name.startswith(MANUALS) else MAX_DROPPED), path.name
