"""Five real texts and what a reader of them marked by hand: counts, and pieces of a few characters; never the texts themselves."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["gold_failures"]

HAN = "\u4e00-\u9fff"
ASCII_MARK = f"(?<=[{HAN}])[,:;?!()]|[,:;?!()](?=[{HAN}])"
Repair = Callable[[list[str], list[str]], list[str]]


def gold_failures(folder: Path, repair: Repair) -> list[str]:
    """Every mark that does not hold, in words."""
    paths = sorted(folder.glob("*.txt"))
    raw = [path.read_bytes().decode() for path in paths]
    clean = repair(raw, ["zh"] * len(raw))
    checks = (_first, _second, _third, _fourth, _fifth)
    found = [f"{path.name[:3]}: {fault}" for path, *texts, check in zip(paths, raw, clean, checks, strict=True) for fault in check(*texts)]
    return [*found, *_missing_words(clean)]


def _must(text: str, *pieces: str) -> Iterator[str]:
    return (f"{piece!r} should be there" for piece in pieces if piece not in text)


def _gone(text: str, *pieces: str) -> Iterator[str]:
    return (f"{piece!r} should be gone" for piece in pieces if piece in text)


def _count(name: str, pattern: str, text: str, wanted: int) -> Iterator[str]:
    num = len(re.findall(pattern, text))
    return iter(() if num == wanted else [f"{name}: {num}, wanted {wanted}"])


def _first(raw: str, clean: str) -> Iterator[str]:
    yield from _count("ASCII marks beside Han", ASCII_MARK, clean, 0)
    yield from _must(clean, "36氪：关于这次ChatGPT", "LLM（大型语言模型）和", "02 谈生成式AI：影响", "主流的模型是GAN，GAN也")
    yield from _gone(clean, "投递简历", "hr@")


def _second(raw: str, clean: str) -> Iterator[str]:
    yield from _count("ASCII marks beside Han", ASCII_MARK, clean, 0)
    yield from _gone(clean, "默认分类", "3,039", "国内版", "版权声明", "广告也精彩", "相关文章", "暂无评论")
    # The slots of the deleted words stay, for whoever judges the text to see.
    yield from _must(
        clean, "而 的出现", "并且知道 是坐船", "将 称为 AI 的「 时刻」", "对齐（ ）", "像 .ai 这种", "趋近于 0\n", "顶级的科学家。"
    )
    yield from _must(clean, "Q：生成式 AI", "真格基金管理合伙人")


def _third(raw: str, clean: str) -> Iterator[str]:
    yield from _count("ASCII marks beside Han", ASCII_MARK, clean, 0)
    yield from _gone(clean, "本文", "8btc", "註明", "上一篇", "下一篇", "相关推荐", "相關推薦", "(0)", "（0）")
    yield from _must(
        clean,
        "2,000万",
        "5,000万",
        "到最后会很痛苦。",
        "适合干的是",
        "GPT-3后",
        "状况里",
        "(lead time)" if "(lead time)" in clean else "（lead time）",
    )
    yield from _count("characters of traditional script only", "[個麼這飛時來們說國會對與學]", clean, 0)


def _fourth(raw: str, clean: str) -> Iterator[str]:
    spaced = f"(?<=[{HAN}，。、？！]) +(?=[{HAN}，。、？！])"
    before, after = len(re.findall(f"(?<=[{HAN}]) (?=[{HAN}])", raw)), len(re.findall(spaced, clean))
    if before != 9_946 or after > 0.005 * before:
        yield f"spaces between Han: {before} before, {after} after"
    kept = f"[{HAN}] [A-Za-z]|[A-Za-z] [{HAN}]"
    # 474 in the raw text with letters or digits; where an acronym was spelled or a mark follows, the count of places stays.
    mixed = len(re.findall(kept, clean)) / max(1, len(re.findall(kept, raw)))
    if not 0.99 < mixed <= 1.01:
        yield f"spaces between Han and Latin letters: {mixed:.3f} of them kept"
    yield from _count("letters spelled one by one", r"(?<![A-Za-z])[A-Z] [A-Z](?![A-Za-z])", clean, 0)
    yield from _must(
        clean, "读 PHD 其实", "它叫 CLSP", "CEO 李志飞", "都很焦虑，因为", "processing (NLP), starting", "public university avenue"
    )
    yield from _gone(clean, "cover of episode", "logo of podcast", "Shownotes Transcript", "AI Chapters")


def _fifth(raw: str, clean: str) -> Iterator[str]:
    toned = r"\([a-zü]*[āáǎàēéěèīíǐìōóǒòūúǔùǖǘǚǜ][a-zü]*\)"
    yield from _count("pinyin notes in the raw text", toned, raw, 189)
    yield from _count("pinyin notes", toned.replace(r"\(", "[(（]").replace(r"\)", "[)）]"), clean, 0)
    # Nothing but the notes went: as many characters are missing as the notes had.
    lost = len(raw.strip()) - sum(map(len, re.findall(toned, raw))) - len(clean.strip())
    if lost:
        yield f"{lost} characters are gone that were no pinyin"
    yield from _must(clean, "（现Meta）", "（企业）", "（通用人工智能）", "科技创新35人", "当下和未来")
    yield from _count("brackets", "[(（]", clean, len(re.findall(r"[(（]", raw)) - 189)


def _missing_words(clean: list[str]) -> Iterator[str]:
    import polars as pl

    from feilun.corpus.repair import damage_scores

    scores = damage_scores(pl.Series(clean))["orphan_slots"].to_list()
    if scores[1] < 5 or max(scores[:1] + scores[2:]) > 1:
        yield f"slots of missing words per 1,000 characters: {[round(score, 2) for score in scores]}, wanted many in the second text alone"
