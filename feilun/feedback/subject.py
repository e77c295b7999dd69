"""Whether a question is about what a taught question is about, or about another thing, or about somebody else's.

No meaning is known here, only words: what the taught question names has to be named again, and nothing may be put before it
that makes it another ("our old server", "my brother's parrot", "我姐姐的乌龟"). A synonym therefore counts as another thing. Between
`another_subject` and `same_subject` lies what words alone do not decide. How often each errs stands in LOG.md.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from feilun.feedback.asking import ASKING, PLAIN
from feilun.feedback.spread import HAN, language_of

__all__ = ["another_subject", "content_words", "same_subject", "stem_of"]

LATIN = re.compile(r"[A-Za-z0-9]+(?:['-][A-Za-z0-9]+)*'?")
CLAUSE_END = re.compile(r"[.,;:!?](?=\s|$)|[。，；：！？]")
POSSESSIVE = re.compile(r"'s?$")
CONTRACTED = re.compile(r"n't$|'(?:s|re|ve|d|ll|m)$")
ENDINGS = ("ings", "ing", "ed", "es", "s", "e")
SHORTEST_STEM, SHORTEST_PART, SPELT_ALIKE = 3, 5, 0.85
REMEMBERED = 20_000  # words and texts
ASKS_LATIN = frozenset(("what", "which", "who", "whose", "where", "when", "how", "name", "number", "location"))
ASKS_HAN = re.compile("什么|啥|谁|哪|几|多少|吗|怎么")
HELPERS = frozenset(("do", "does", "did", "has", "have", "had"))
DETERMINERS = frozenset(("my", "our", "the", "a", "an", "this", "that", "his", "her", "their", "your"))
BEFORE_THINGS = DETERMINERS | {"what", "which", "whose", "many", "much"}
PLAIN_LATIN = frozenset((*ASKING["en"], *PLAIN["en"]))
# 请 alone is half of words such as 请假; where it asks, 请问 and its like say so.
PLAIN_HAN = re.compile("|".join(sorted({*ASKING["zh"], *PLAIN["zh"]} - {"请"}, key=len, reverse=True)))
KIN_HAN = re.compile("[爸妈爷奶姥哥姐弟妹叔婶姨舅姑嫂]")
# Somebody else's, and what somebody else does: "his dog", "does she keep", "他的猫", "你们公司".
OTHERS_LATIN = frozenset(("his", "her", "their", "your"))
OTHERS_ACT = frozenset(("he", "she", "they"))
OTHERS_HAN = re.compile("[你您他她](?:们|家)?的?")
# Another word, somewhere before the first that the taught question has too.
BEFORE_KNOWN = re.compile(r"[^*]*?([^ *]{2,})[^*]*\*")
NUMERALS = re.compile("[一二三四五六七八九十0-9]")
NOT_HAN = re.compile(rf"[^{HAN}A-Za-z0-9]")


def another_subject(taught: str, question: str) -> str:
    """The words by which `question` is about something else than `taught`; empty where it may be about the same."""
    taught, question = taught.replace("’", "'"), question.replace("’", "'")
    return _another_in_han(taught, question) if language_of(taught) == "zh" else _another_in_latin(taught, question)


def same_subject(taught: str, question: str) -> bool:
    """Whether `question` names all that `taught` names, and where it asks nothing else: sure enough to answer the one for the other."""
    taught, question = taught.replace("’", "'"), question.replace("’", "'")
    same = _is_same_in_han if language_of(taught) == "zh" else _is_same_in_latin
    return same(taught, question) and not another_subject(taught, question) and not (_others(question) - _others(taught))


def content_words(text: str) -> list[str]:
    """Words that name something: Latin words, and runs of Han, without the words around."""
    return list(_content_words(text))


@lru_cache(maxsize=REMEMBERED)
def _content_words(text: str) -> tuple[str, ...]:
    text = text.replace("’", "'")
    return tuple(_han(text).split() if language_of(text) == "zh" else (word for word in LATIN.findall(text) if not _is_plain(word)))


def _another_in_latin(taught: str, question: str) -> str:
    named, words = content_words(taught), LATIN.findall(question)
    foreign = {word for word in words if not _is_plain(word) and not _is_among(word, named)}
    missing = [word for word in named if not _is_among(word, words)]
    things = [word for word in _things(words) if word in foreign]
    if missing and (things or len(missing) == len(named)):
        return " ".join(things) or "-"
    return next((found for part in _asking_parts(question) if (found := _somebody_else(LATIN.findall(part), foreign, named))), "")


def _things(words: Sequence[str]) -> list[str]:
    """Words where things stand: after "my", "which" and their like; all words of a question that has none of these."""
    found: list[str] = []
    inside = any_before = False
    for word in words:
        opens = CONTRACTED.sub("", word.lower()) in BEFORE_THINGS
        any_before |= opens
        inside = opens or (inside and not _is_plain(word))
        if inside and not opens:
            found.append(word)
    return found if any_before else list(words)


def _asking_parts(question: str) -> list[str]:
    """The clauses that ask; all that is said beside them ("I have a parrot.") only tells."""
    parts = [part for part in CLAUSE_END.split(question) if part.strip()]
    if language_of(question) == "zh":
        return [part for part in parts if len(parts) == 1 or ASKS_HAN.search(part)]
    return [part for part in parts if part is parts[-1] or any(map(_asks, LATIN.findall(part)))]


def _somebody_else(words: Sequence[str], foreign: set[str], named: Sequence[str]) -> str:
    """A word that makes the thing another's or another: "brother's parrot", "does my son like", "old server"."""
    for at, word in enumerate(words):
        if word not in foreign:
            continue
        before = [w.lower() for w in words[max(0, at - 2) : at]]
        if before and before[-1] in DETERMINERS:
            before.pop()
        if POSSESSIVE.search(word) or (before and before[-1] in HELPERS) or _is_among("".join(words[at + 1 : at + 2]), named):
            return word
    return ""


def _another_in_han(taught: str, question: str) -> str:
    """By characters, for Chinese words are not cut here: near words share some ("报销", "报账")."""
    named, asked = _han(taught), _han(question)
    known, present = set(named) - {" "}, set(question.lower())
    missing, extra = _runs(named, present), _runs(asked, known)
    words = [run.text for run in extra if len(run.text) > 1]
    another = any(words if len(run.text) > 1 else extra and run.text in named.split() for run in missing)
    if known and (another or known.isdisjoint(present)):
        return " ".join(run.text for run in extra) or "-"
    if other := next((run.text for run in extra if KIN_HAN.match(run.text) or any(_takes_place(run, lost) for lost in missing)), ""):
        return other
    if NUMERALS.findall(named) and (numerals := set(NUMERALS.findall(question)) - set(NUMERALS.findall(named))):
        return " ".join(sorted(numerals))
    marked = ("".join(c if c not in known else "*" for c in _han(part)) for part in _asking_parts(question))
    return next((found[1] for part in marked if (found := BEFORE_KNOWN.match(part))), "")


def _others(question: str) -> frozenset[str]:
    """Words by which a question is about somebody else's: before a thing, or as who does what is asked."""
    if language_of(question) == "zh":
        shown = _han(question) + " "
        return frozenset(found[0] for found in OTHERS_HAN.finditer(question) if shown[min(found.end(), len(shown) - 1)] != " ")
    words = [word.lower() for word in LATIN.findall(question)]
    return frozenset(
        other if before in HELPERS else before
        for before, other in pairwise(words)
        if (before in OTHERS_LATIN and not _is_plain(other)) or (before in HELPERS and other in OTHERS_ACT)
    )


class Run(NamedTuple):
    """Neighbouring characters that are not in the other question, and what stands on either side of them."""

    text: str
    before: str
    after: str


def _runs(text: str, others: Collection[str]) -> list[Run]:
    marked = "".join(c if c not in others else " " for c in text)
    found = [(match[0], *match.span()) for match in re.finditer(r"[^ ]+", marked)]
    return [Run(run, text[max(0, start - 1) : start].strip(), text[end : end + 1].strip()) for run, start, end in found]


def _takes_place(run: Run, lost: Run) -> bool:
    """After the same character ("羽毛球鞋" for "羽毛球拍"), or with more than one before the same ("复印纸" for "打印纸" is as good)."""
    return bool(run.before and run.before == lost.before) or bool(len(run.text) > 1 and run.after and run.after == lost.after)


def _is_same_in_latin(taught: str, question: str) -> bool:
    named, words = content_words(taught), LATIN.findall(question)
    if not named or not all(_is_among(word, words) for word in named):
        return False
    return all(_is_plain(word) or _is_among(word, named) for part in _asking_parts(question) for word in LATIN.findall(part))


def _is_same_in_han(taught: str, question: str) -> bool:
    """Of each word at most one character may be missing, and only where the question puts nothing in its place."""
    named = _han(taught)
    missing = max((len(run.text) for run in _runs(named, set(question.lower()))), default=0)
    extra = max((len(run.text) for part in _asking_parts(question) for run in _runs(_han(part), named)), default=0)
    return bool(named.strip()) and missing <= 1 and extra <= 1 - missing


def _han(text: str) -> str:
    """The text with words around and punctuation as blanks, in lower case."""
    return PLAIN_HAN.sub(lambda match: " " * len(match[0]), NOT_HAN.sub(" ", text.lower()))


def _is_plain(word: str) -> bool:
    word = word.lower()
    return word in PLAIN_LATIN or (CONTRACTED.search(word) is not None and CONTRACTED.sub("", word) in PLAIN_LATIN)


def _asks(word: str) -> bool:
    return CONTRACTED.sub("", word.lower()) in ASKS_LATIN


def _is_among(word: str, others: Iterable[str]) -> bool:
    stem = stem_of(word)
    return bool(word) and any(_same(stem, stem_of(other)) for other in others)


def _same(stem: str, other: str) -> bool:
    """Equal, begun alike, or spelt nearly alike ("color"; of "Tuesday" and "Thursday" the likeness is .8)."""
    shorter = min(len(stem), len(other))
    if shorter < SHORTEST_PART or stem == other:
        return stem == other
    if stem[:shorter] == other[:shorter]:
        return True
    # No likeness is greater than what the lengths allow, and to look closer is slow.
    return 2 * shorter >= SPELT_ALIKE * (len(stem) + len(other)) and difflib.SequenceMatcher(None, stem, other).ratio() >= SPELT_ALIKE


@lru_cache(maxsize=REMEMBERED)
def stem_of(word: str) -> str:
    """Without possessive and the commonest endings: enough to tell "Mondays" and "painted" as "Monday" and "paint"."""
    word = POSSESSIVE.sub("", word.lower())
    ending = next((end for end in ENDINGS if word.endswith(end) and len(word) - len(end) >= SHORTEST_STEM), "")
    return word.removesuffix(ending)
