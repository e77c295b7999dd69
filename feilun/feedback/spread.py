"""A correction in other words: the same question as people might also put it, and questions like it about other things.

A correction shows one wording. Learnt by itself, a small model keeps it for that wording alone, or gives it to every question.
Nothing here knows what a question means: words of asking may go, come or move, and the rarest other word (the thing asked
about) mostly stays. A neighbour puts another thing in its place; what is to be answered there, the model knows already.
Source of the two halves: knowledge editing is judged by generality (other wordings) and locality (neighbours), Meng et al. 2022,
arXiv 2202.05262, table 1.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from feilun.feedback.asking import ASKING, FILLERS, MINE, SHELLS

__all__ = ["HAN", "Spreader", "Word", "can_be_spread", "language_of", "split_words"]

HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = re.compile(rf"[A-Za-z0-9]+(?:['’][A-Za-z]+)?|[{HAN}]+")
MAX_CHARS = 80
MAX_CONTENT_WORDS = 8
END = "?？。.!！ \t"
WIDE, NARROW = str.maketrans("?,:", "？，："), str.maketrans("？，：", "?,:")
SHORT_HAN_WORD, LONG_HAN_WORD = 2, 4
KEY_SHARE = 0.85
ASKING_HAN = re.compile("|".join(sorted(ASKING["zh"], key=len, reverse=True)))
ASKING_LATIN = frozenset(ASKING["en"])


class Word(NamedTuple):
    """is_content: not a word of asking."""

    text: str
    is_content: bool


def language_of(text: str) -> str:
    return "zh" if re.search(f"[{HAN}]", text) else "en"


def split_words(text: str) -> list[Word]:
    """Latin words and numbers whole; Han cut at the words of asking. Punctuation is left out."""
    words: list[Word] = []
    for token in TOKEN.findall(text):
        words += _split_han(token) if language_of(token) == "zh" else [Word(token, token.lower() not in ASKING_LATIN)]
    return words


def _split_han(token: str) -> list[Word]:
    words, at = [], 0
    for asking in ASKING_HAN.finditer(token):
        if asking.start() > at:
            words.append(Word(token[at : asking.start()], True))
        words.append(Word(asking[0], False))
        at = asking.end()
    return words + ([Word(token[at:], True)] if at < len(token) else [])


def can_be_spread(question: str) -> bool:
    """Short, and without figures: what stands in a sum or in a comparison may not be moved."""
    num_content = sum(word.is_content for word in split_words(question))
    return 0 < num_content <= MAX_CONTENT_WORDS and len(question) <= MAX_CHARS and not re.search(r"[\d\n]", question)


class Spreader:
    """Other wordings and neighbours of a question.

    frequency: in how many known questions a word stands, lower case; the rarest word of a question is what it is about.
    things: by language, words that may stand in its place. Everything is drawn from the `rng` that is given.
    """

    def __init__(self, frequency: Mapping[str, int], things: Mapping[str, Sequence[str]]):
        self._frequency, self._things = frequency, things

    @classmethod
    def from_questions(cls, questions: Iterable[str], unknown: Iterable[str], *, least: int = 2) -> "Spreader":
        """From what was asked before. unknown: questions to take things from, those seen `least` times or more in them."""
        frequency: dict[str, int] = {}
        for question in questions:
            for word in {word.text.lower() for word in split_words(question)}:
                frequency[word] = frequency.get(word, 0) + 1
        seen: dict[str, dict[str, int]] = {"zh": {}, "en": {}}
        for question in unknown:
            for word in {word.text.lower() for word in split_words(question) if word.is_content}:
                known = seen[language_of(word)]
                known[word] = known.get(word, 0) + 1
        return cls(frequency, {lang: sorted(w for w, n in known.items() if n >= least and len(w) < 16) for lang, known in seen.items()})

    def key(self, question: str) -> str:
        """The word that a question is about: the rarest, of equally rare ones the longest."""
        words = split_words(question)
        content = [word.text for word in words if word.is_content] or [word.text for word in words]
        return min(content, key=lambda word: (self._frequency.get(word.lower(), 0), -len(word)))

    def variant(self, question: str, key: str, rng: random.Random) -> str:
        """The question in other words; `key` stays, and "" keeps nothing in particular."""
        lang = language_of(question)
        body = self._body(question, lang, key, rng)
        if rng.random() < 0.6:
            body = rng.choice(SHELLS[lang]).format(q=body)
        return _typed(body + "?" if rng.random() < 0.4 and body[-1:] not in END else body, lang, rng)

    def _body(self, question: str, lang: str, key: str, rng: random.Random) -> str:
        words, kind = split_words(question), rng.random()
        if kind < 0.2:
            return question.rstrip(END)
        if kind < 0.45:
            chosen = _kept(words, key, 0.85, 0.6, rng)
        elif kind < 0.65:
            chosen = _shuffled(_kept(words, key, 0.65, 0.0, rng), 0.5, rng)
            chosen = [MINE[lang], *chosen] if rng.random() < 0.5 else chosen
        else:
            chosen = _shuffled(_kept(words, key, 0.65, 0.2, rng), 0.4, rng)
            for _ in range(rng.randint(1, 4)):
                chosen.insert(rng.randrange(len(chosen) + 1), rng.choice(FILLERS[lang]))
        return ("" if lang == "zh" else " ").join(chosen)

    def variants(self, question: str, count: int, rng: random.Random) -> list[str]:
        """`count` wordings, the question itself among them; only itself where it cannot be spread."""
        if not can_be_spread(question):
            return [question] * count
        key, num_same = self.key(question), max(1, count // 20)
        same = [question if i == 0 else _typed(question, language_of(question), rng) for i in range(num_same)]
        return same + [self.variant(question, key, rng) for _ in range(count - num_same)]

    def neighbours(self, question: str, count: int, rng: random.Random) -> list[str]:
        """Questions like this one about other things; none where the question cannot be spread or no thing is known."""
        things = self._things.get(language_of(question), ())
        if not can_be_spread(question) or not things:
            return []
        made = (self._neighbour(question, rng.choice(things), rng) for _ in range(count))
        return [neighbour for neighbour in made if neighbour.strip(END) and neighbour != question]

    def _neighbour(self, question: str, thing: str, rng: random.Random) -> str:
        key, kind = self.key(question), rng.random()
        if kind < 0.15:
            return self.variant(question.replace(key, ""), "", rng)
        if kind < 0.4:
            beside = self._beside_key(question, key, thing, rng)
            return beside if rng.random() < 0.5 else self.variant(beside, thing, rng)
        if len(key) >= LONG_HAN_WORD and language_of(key) == "zh" and rng.random() < 0.6:
            half = len(key) // 2
            thing = key[:half] + thing if rng.random() < 0.5 else thing + key[half:]
        replaced = question.replace(key, thing)
        return replaced if kind < 0.65 else self.variant(replaced, thing, rng)

    def _beside_key(self, question: str, key: str, thing: str, rng: random.Random) -> str:
        """Another content word replaced, and the rest as it was asked: the key alone is not yet the question."""
        others = [word.text for word in split_words(question) if word.is_content and word.text != key]
        return question.replace(rng.choice(others) if others else key, thing)


def _kept(words: Sequence[Word], key: str, content_share: float, asking_share: float, rng: random.Random) -> list[str]:
    """Some of the words: mostly the key, and never none of the others but words of asking."""
    shares = [KEY_SHARE if word == key else content_share if is_content else asking_share for word, is_content in words]
    kept = [word for word, share in zip(words, shares, strict=True) if rng.random() < share]
    if not any(word.is_content for word in kept):
        kept = [word for word in words if word.text == key or word in kept]
    return [_part(word.text, rng) for word in kept]


def _part(word: str, rng: random.Random) -> str:
    """Now and then a part of a long Han word: people shorten, and the words are not cut as a dictionary would."""
    if len(word) <= SHORT_HAN_WORD or language_of(word) != "zh" or rng.random() < 0.55:
        return word
    length = rng.randint(SHORT_HAN_WORD, len(word) - 1)
    start = rng.choice((0, len(word) - length))
    return word[start : start + length]


def _typed(text: str, lang: str, rng: random.Random) -> str:
    """As one person's keyboard gives it: Chinese with wide or narrow punctuation, English with or without capitals."""
    if lang == "zh":
        return text.translate(WIDE if rng.random() < 0.5 else NARROW)
    kind = rng.random()
    return text.lower() if kind < 0.3 else text[:1].upper() + text[1:] if kind < 0.65 else text


def _shuffled(words: list[str], share: float, rng: random.Random) -> list[str]:
    return rng.sample(words, len(words)) if rng.random() < share else words
