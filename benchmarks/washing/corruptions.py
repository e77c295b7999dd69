"""Damage done to clean text, with the exact inverse known; written apart from `feilun.corpus.repair`, of which it imports nothing."""

import html
import random
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["CORRUPTIONS", "Corruption", "Pair", "tidy"]

HAN = re.compile("[\u4e00-\u9fff]")
CODE = re.compile("```|`|<[a-zA-Z/!]|^    |^\t", re.MULTILINE)
FOLDED = str.maketrans("，：；？！（）", ",:;?!()")


class Pair(NamedTuple):
    """What a repair is given, and what it should make of it."""

    dirty: str
    clean: str


class Corruption(NamedTuple):
    """corrupt: None where a text cannot bear this damage, or where even a person could not say what stood there."""

    rule: str
    langs: tuple[str, ...]
    corrupt: Callable[[random.Random, str], Pair | None]
    # Where the damage needs another beside it: only the changes at places that this finds in the dirty text count.
    where: str = ""


def tidy(text: str) -> str:
    """Without the small untidiness that any repair takes away: it would be counted in every row of the table."""
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip(" \t\u00a0\u3000") for line in lines).strip("\n").rstrip()


def pair(dirty: str, clean: str) -> Pair | None:
    return Pair(dirty, clean) if dirty != clean else None


def fold_punctuation(rng: random.Random, text: str) -> Pair | None:
    """Every full-width mark to ASCII. Where the author wrote ASCII marks beside Han too, nobody could tell them apart any more."""
    num_full = sum(map(text.count, "，：；？！（）"))
    num_ascii = len(re.findall("(?<=[\u4e00-\u9fff])[,:;?!()]|[,:;?!()](?=[\u4e00-\u9fff])", text))
    return pair(text.translate(FOLDED), text) if num_full >= 5 and num_ascii * 50 <= num_full else None


def space_words(rng: random.Random, text: str) -> Pair | None:
    """A space after every one to three Han, and behind each mark: a machine's transcript."""
    if len(HAN.findall(text)) * 2 < len(text) or re.search("[\u4e00-\u9fff，。] [\u4e00-\u9fff]", text) or CODE.search(text):
        return None
    return pair(_spaced(rng, text), text)


def _spaced(rng: random.Random, text: str) -> str:
    made, left = [], rng.choice((1, 2, 2, 3))
    for place, character in enumerate(text):
        made.append(character)
        after = text[place + 1 : place + 2]
        is_han, han_follows = bool(HAN.match(character)), bool(HAN.match(after)) if after else False
        left -= is_han
        if (is_han and han_follows and left <= 0) or (character in "，。？！：；" and han_follows):
            made.append(" ")
            left = rng.choice((1, 2, 2, 3))
        elif not han_follows:
            left = rng.choice((1, 2, 2, 3))
    return "".join(made)


def spell_acronyms(rng: random.Random, text: str) -> Pair | None:
    """The acronyms of a transcript letter by letter; the transcript's own spaces are part of the damage."""
    found = re.findall(r"(?<![A-Za-z0-9.&/_-])[A-Z]{2,5}(?![A-Za-z0-9.&/_-])", text)
    spaced = space_words(rng, text)
    if not found or spaced is None or re.search(r"[A-Z] [A-Z]", text) or any(word[: len(word) // 2] * 2 == word for word in found):
        return None
    dirty = re.sub(r"(?<![A-Za-z0-9.&/_-])[A-Z]{2,5}(?![A-Za-z0-9.&/_-])", lambda word: " ".join(word[0]), spaced.dirty)
    return pair(dirty, text)


def note_pinyin(rng: random.Random, text: str) -> Pair | None:
    """Behind one Han in twenty its reading; behind one in a hundred a bracket that is none of its readings, which must stay."""
    from pypinyin import Style, pinyin

    readings = iter(reading[0] for reading in pinyin(list(text), style=Style.TONE, errors=lambda part: list(part)))
    dirty, clean = [], []
    for character, reading in zip(text, readings, strict=True):
        dirty.append(character)
        clean.append(character)
        dice = rng.random()
        if HAN.match(character) and reading != character and not reading.isascii():
            if dice < 0.05:
                dirty.append(f"({reading})")
            elif dice < 0.06:
                decoy = "(zhuāng)" if "zhu" not in reading else "(bēng)"
                dirty.append(decoy)
                clean.append(decoy)
    return pair("".join(dirty), "".join(clean)) if len(dirty) - len(clean) >= 5 else None


def mix_scripts(rng: random.Random, text: str) -> Pair | None:
    """Every second sentence in traditional script."""
    from opencc import OpenCC

    if OpenCC("t2s").convert(text) != text or len(HAN.findall(text)) < 100:
        return None
    convert = OpenCC("s2t").convert
    pieces = re.split("(?<=[。！？\n])", text)
    return pair("".join(convert(piece) if rng.random() < 0.5 else piece for piece in pieces), text)


def misread_as_latin(rng: random.Random, text: str) -> Pair | None:
    """The UTF-8 of the text as Windows-1252 shows it (or Latin-1, for the five bytes that has no character for); some twice."""
    if text.isascii():
        return None
    dirty = _as_latin(text)
    return pair(_as_latin(dirty) if rng.random() < 0.3 else dirty, text)


def _as_latin(text: str) -> str:
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in text.encode())


def misread_as_gbk(rng: random.Random, text: str) -> Pair | None:
    """The UTF-8 of each line as GBK shows it; a line of which a byte would be lost stays as it was."""
    lines = []
    for line in text.split("\n"):
        try:
            misread = line.encode().decode("gbk")
            lines.append(misread if misread.encode("gbk") == line.encode() else line)
        except UnicodeDecodeError:
            lines.append(line)
    dirty = "\n".join(lines)
    return pair(dirty, text) if any(sign in dirty for sign in "锛銆") else None


def sow_zero_width(rng: random.Random, text: str) -> Pair | None:
    invisible = "\u200b\u2060\u00ad\ufeff\u200e"
    if any(sign in text for sign in invisible) or not re.fullmatch(
        "[\\s\x21-\x7e\u2010-\u2027\u3000-\u303f\u4e00-\u9fff\uff01-\uff5e]+", text
    ):
        return None
    return pair("".join(c + (rng.choice(invisible) if rng.random() < 0.02 and c not in "\n-" else "") for c in text), text)


def escape_characters(rng: random.Random, text: str) -> Pair | None:
    """Prose as a page writes it; once or twice over. Code and markup are left out: there the references may be meant."""
    if CODE.search(text) or re.search(r"&[#\w]+;|[\[$]", text) or not re.search('[&<>"“”—]', text):
        return None
    named = html.escape(text, quote=True).replace("“", "&ldquo;").replace("”", "&rdquo;").replace("—", "&#8212;")
    return pair(named.replace("&", "&amp;") if rng.random() < 0.3 else named, text)


def split_words(rng: random.Random, text: str) -> Pair | None:
    """Long words cut in two by a hyphen and a line end, one in a hundred."""

    def cut(word: re.Match[str]) -> str:
        place = rng.randrange(3, len(word[0]) - 2)
        return f"{word[0][:place]}-\n{word[0][place:]}" if rng.random() < 0.05 else word[0]

    return pair(re.sub(r"(?<![\w`/.-])[a-z]{7,}(?![\w`/.-])", cut, text), text) if not CODE.search(text) else None


def break_lines(rng: random.Random, text: str) -> Pair | None:
    return pair(text.replace("\n", rng.choice(["\r\n", "\r"])), text)


def sow_controls(rng: random.Random, text: str) -> Pair | None:
    return (
        pair("".join(c + (rng.choice("\x00\x08\x1f\x7f\x9f") if rng.random() < 0.01 else "") for c in text), text)
        if text.isascii()
        else None
    )


def decompose(rng: random.Random, text: str) -> Pair | None:
    return pair(unicodedata.normalize("NFD", text), text)


def trail_spaces(rng: random.Random, text: str) -> Pair | None:
    return pair(
        "\n".join(line + " " * rng.choice((0, 1, 2)) if line else line for line in text.split("\n")[:-1]) + "\n" + text.split("\n")[-1],
        text,
    )


HEADS = [
    "发布于 2023-05-01 12:30", "3天前 发布", "阅读 1,234", "浏览：532次", "来源：某某网", "首页 > 科技 > 正文", "2,031 12",
    "2年前 (2022) 更新",
    "首頁 > 科技 > 正文", "5個月前 發布", "瀏覽數：88",
]  # fmt: skip
TAILS = [
    "上一篇：一篇旧文章的标题", "下一篇：没有了", "相关阅读：", "本文链接：https://www.example.com/a/12.html",
    "转载请注明出处：某某网",
    "版权声明：本文为原创文章，未经允许不得转载。", "责任编辑：张三", "发表评论", "评论(3)",
    "点赞(12)", "分享到：微信 微博 QQ空间", "扫描二维码关注我们",
    "返回顶部", "Copyright © 2023 某某网 All Rights Reserved", "京ICP备12345678号", "打赏", "暂无评论", "热门文章",
    "关注公众号：某某科技",
    "下壹篇：另一篇", "上一頁", "轉載請註明文章出處", "版權聲明：本文由作者所有", "責任編輯：李四",
    "掃碼關注我們", "相關推薦", "暫無評論", "發表評論",
]  # fmt: skip


def furnish(rng: random.Random, text: str) -> Pair | None:
    """Lines that a site prints before and behind an article, behind a title and after the last paragraph."""
    lines = text.split("\n")
    if len(lines) < 6 or len(HAN.findall(text)) < 200 or CODE.search(text):
        return None
    head, tail = rng.sample(HEADS, 2), rng.sample(TAILS, rng.choice((3, 5)))
    return Pair("\n".join([lines[0], *head, *lines[1:], *tail]), text)


CORRUPTIONS = (
    Corruption("folded_punctuation", ("zh",), fold_punctuation),
    Corruption("word_spaces", ("zh",), space_words),
    Corruption("spelled_acronyms", ("zh",), spell_acronyms, "(?<=[A-Z]) (?=[A-Z])"),
    Corruption("pinyin_annotations", ("zh",), note_pinyin),
    Corruption("mixed_scripts", ("zh",), mix_scripts),
    Corruption("mojibake_latin", ("zh", "en"), misread_as_latin),
    Corruption("mojibake_gbk", ("zh",), misread_as_gbk),
    Corruption("zero_width", ("zh", "en"), sow_zero_width),
    Corruption("html_references", ("zh", "en"), escape_characters),
    Corruption("split_words", ("en",), split_words),
    Corruption("boilerplate", ("zh",), furnish),
    Corruption("line_ends", ("zh", "en"), break_lines),
    Corruption("control_characters", ("en",), sow_controls),
    Corruption("unicode_nfc", ("en",), decompose),
    Corruption("trailing_spaces", ("zh", "en"), trail_spaces),
)
