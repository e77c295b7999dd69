"""Exam texts out of a corpus: found by 13-grams that neither script, width, case, punctuation nor line breaks can hide.

A unit is one Han or kana character, or one word of other letters and digits; a gram is 13 units. Characters are compared in
simplified form, one for one, so that a place in what is compared is a place in the text. Nothing that is kept is changed.
"""

import hashlib
import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import zstandard
from numpy.typing import NDArray

from feilun.config import CorpusSettings
from feilun.corpus.dedup import text_digests
from feilun.corpus.edits import EDIT_SCHEMA, Edit, Edited, by_row, edit_texts, joined
from feilun.types import UserError

__all__ = ["ACTIONS", "DecontaminationSettings", "Decontaminator", "Hit", "protected_texts", "without_protected"]

Words = NDArray[np.uint64]
ACTIONS = ("drop", "cut")
BLOCK_CHARS = 1 << 17
SOFT, HARD = 0, 1
DESCRIBING = frozenset(("id", "source", "license", "lang", "task", "url"))
BASE, GRAM_BASE, MIX = (np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xBF58476D1CE4E5B9))
GRAM_INVERSE = np.uint64(pow(int(GRAM_BASE), -1, 1 << 64))
WORD_CHARS = 256
# Unicode has no letters from here on but for tags.
LAST_LETTER = 0x32400
HAN_AND_KANA = ((0x3005, 0x3008), (0x3040, 0x3100), (0x3400, 0xA000), (0xF900, 0xFB00), (0x20000, LAST_LETTER))
# What a dictionary of single characters leaves open and texts in both scripts mix.
ALSO_EQUAL = str.maketrans("著乾麽妳藉祂牠裏", "着干么你借他它里")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecontaminationSettings:
    """A text holds a protected one when it has `min_overlap` of its grams, or `max_grams` of them.

    A protected text of fewer than n units is looked for as a whole, standing alone between signs or line ends; one of fewer
    than `min_units` could be anything and is not looked for: such texts are counted in `Decontaminator.num_unprotected`.
    action: "drop" the document, or "cut" the lines that the protected text touches.
    """

    n: int = 13
    min_overlap: float = 0.5
    max_grams: int = 24
    min_units: int = 6
    action: str = "drop"


class Hit(NamedTuple):
    """A protected text in a document: which set it is of, and the characters from its first to its last gram there."""

    row: int
    name: str
    start: int
    end: int


class Units(NamedTuple):
    """hashes of the units of a block; where each begins and ends in it; whether a sign or a line end stands before it."""

    hashes: Words
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    is_first: NDArray[np.bool_]


class Found(NamedTuple):
    gram: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


class Decontaminator:
    """Looks for protected texts in others. protected: the texts of each set, by the set's name, which stands in every reason."""

    def __init__(self, protected: Mapping[str, Iterable[str]], settings: DecontaminationSettings | None = None) -> None:
        self.settings = settings or DecontaminationSettings()
        _check(self.settings)
        self.names = tuple(protected)
        self.num_protected = self.num_unprotected = 0
        pairs: list[tuple[Words, int]] = []
        needed: list[int] = []
        self._set_of: list[int] = []
        self._lengths: set[int] = set()
        for place, texts in enumerate(protected.values()):
            for text in dict.fromkeys(texts):
                grams = self._grams_of(text)
                if grams is None:
                    self.num_unprotected += 1
                    continue
                self.num_protected += 1
                pairs.append((grams, len(needed)))
                needed.append(min(math.ceil(self.settings.min_overlap * len(grams)), self.settings.max_grams))
                self._set_of.append(place)
        self._needed = np.array(needed, dtype=np.int64)
        self._index(pairs)

    def _grams_of(self, text: str) -> Words | None:
        hashes = _units(text).hashes
        if len(hashes) < self.settings.min_units:
            return None
        num_units = min(len(hashes), self.settings.n)
        if num_units < self.settings.n:
            self._lengths.add(num_units)
        return np.unique(_grams(_prefix_sums(hashes), num_units, np.arange(len(hashes) - num_units + 1)))

    def _index(self, pairs: list[tuple[Words, int]]) -> None:
        grams = np.concatenate([p[0] for p in pairs]) if pairs else np.empty(0, np.uint64)
        owners = np.concatenate([np.full(len(p[0]), p[1]) for p in pairs]) if pairs else np.empty(0, np.int64)
        order = np.lexsort((owners, grams))
        self._keys, self._owners = grams[order], owners[order]
        # One look into a table of bits spares most grams of a clean text the search among the sorted ones.
        self._shift = np.uint64(64 - min(26, max(16, (32 * len(grams)).bit_length())))
        self._may_be = np.zeros(1 << (64 - int(self._shift)), dtype=np.bool_)
        self._may_be[self._keys >> self._shift] = True

    def to_json(self) -> dict[str, Any]:
        """What was looked for: for the recipe of what it was taken out of."""
        digest = hashlib.sha256(self._keys.tobytes() + self._owners.tobytes() + repr(self._set_of).encode()).hexdigest()
        counts = {"texts": self.num_protected, "too_short_to_look_for": self.num_unprotected}
        return {"sets": list(self.names), "sha256": digest, "settings": asdict(self.settings)} | counts

    def verdicts(self, texts: pl.Series) -> pl.Series:
        """For each text the reason why it must go, "protected:" and the name of the first set it holds a text of, or null."""
        reasons: dict[int, str] = {}
        for hit in self.hits(texts):
            reasons.setdefault(hit.row, f"protected:{hit.name}")
        return pl.Series([reasons.get(row) for row in range(len(texts))], dtype=pl.String)

    def cut(self, texts: pl.Series) -> Edited:
        """The texts without the lines that a protected text touches; the rule of each edit is "protected"."""
        hits_of: dict[str, list[Hit]] = {}
        for hit in self.hits(texts):
            hits_of.setdefault(texts[hit.row], []).append(hit)
        touched = pl.Series([text in hits_of for text in texts], dtype=pl.Boolean)
        return edit_texts(texts, touched, "protected", partial(_whole_lines, hits_of))

    def hits(self, texts: pl.Series, *, block_chars: int = BLOCK_CHARS) -> Iterator[Hit]:
        """Every protected text in every document, by document; a null holds none. block_chars: how much is looked at at once."""
        for first, block in _blocks(texts, block_chars):
            yield from self._hits_in(first, block)

    def _hits_in(self, first: int, block: list[str]) -> Iterator[Hit]:
        bounds = np.cumsum([0, *(len(text) + 1 for text in block)])
        found = self._found("\n".join(block))
        if not len(found.gram):
            return
        rows = np.searchsorted(bounds, found.start, side="right") - 1
        is_inside = found.end < bounds[rows + 1]
        frame = pl.DataFrame({"row": rows, "gram": found.gram, "start": found.start - bounds[rows], "end": found.end - bounds[rows]})
        frame = frame.filter(pl.Series(is_inside)).join(self._owner_frame(found.gram), on="gram")
        needed = pl.DataFrame({"owner": np.arange(len(self._needed)), "needed": self._needed})
        counted = frame.group_by("row", "owner").agg(num=pl.col("gram").n_unique(), start=pl.min("start"), end=pl.max("end"))
        enough = counted.join(needed, on="owner").filter(pl.col("num") >= pl.col("needed")).sort("row", "owner")
        for row, owner, start, end in enough.select("row", "owner", "start", "end").iter_rows():
            yield Hit(first + row, self.names[self._set_of[owner]], start, end)

    def _owner_frame(self, grams: NDArray[np.int64]) -> pl.DataFrame:
        """(gram, owner) for each owner of each gram; a gram is named by its first place in the index."""
        firsts = np.unique(grams)
        counts = np.searchsorted(self._keys, self._keys[firsts], side="right") - firsts
        places = np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return pl.DataFrame({"gram": np.repeat(firsts, counts), "owner": self._owners[places]})

    def _found(self, text: str) -> Found:
        units = _units(text)
        sums = _prefix_sums(units.hashes)
        is_last = np.append(units.is_first[1:], True)
        parts = [self._look_up(units, sums, self.settings.n, np.arange(max(0, len(sums) - self.settings.n)))]
        for length in sorted(self._lengths):
            alone = np.flatnonzero(units.is_first[: max(0, len(is_last) - length + 1)] & is_last[length - 1 :])
            parts.append(self._look_up(units, sums, length, alone))
        return Found(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _look_up(self, units: Units, sums: Words, length: int, firsts: NDArray[np.int64]) -> Found:
        """Which of the grams of `length` units that begin at `firsts` are known."""
        grams = _grams(sums, length, firsts)
        maybe = np.flatnonzero(self._may_be[grams >> self._shift])
        grams, firsts = grams[maybe], firsts[maybe]
        places = np.searchsorted(self._keys, grams)
        is_known = self._keys[np.minimum(places, len(self._keys) - 1)] == grams if len(self._keys) else places < 0
        firsts = firsts[is_known]
        return Found(places[is_known], units.starts[firsts], units.ends[firsts + length - 1])


def without_protected(block: pl.DataFrame, decontaminator: Decontaminator, settings: CorpusSettings) -> pl.DataFrame:
    """A block of decided documents where none that stays holds a protected text: it is dropped, or cut, and dropped if little is left."""
    is_kept = block["reason"].is_null()
    texts = pl.select(pl.when(is_kept).then(block["text"])).to_series()
    reasons = decontaminator.verdicts(texts)
    if decontaminator.settings.action == "drop" or not reasons.count():
        return block.with_columns(reason=pl.coalesce("reason", reasons))
    cut, edits = decontaminator.cut(texts)
    too_short = pl.select(pl.when(cut.str.strip_chars().str.len_chars() < settings.min_chars).then(reasons)).to_series()
    reason = pl.coalesce(block["reason"], too_short).alias("reason")
    earlier = block.with_row_index("row").select("row", "edits").explode("edits", empty_as_null=False).unnest("edits").drop_nulls("rule")
    listed = by_row(joined([earlier.select(*EDIT_SCHEMA), edits]), len(block))
    new = pl.coalesce(cut, block["text"]).alias("text")
    block = block.with_columns(reason, new, edits=listed)
    return block.with_columns(digest=text_digests(block["text"]))


def protected_texts(path: Path) -> list[str]:
    """The texts of a file that must not be learnt: paragraphs of .txt and .md, every text in the rows of .jsonl; also as .zst.

    Raises UserError for what cannot be read. Fields that describe a row (id, source, license, lang, task, url) are no texts.
    """
    name = path.name.lower().removesuffix(".zst")
    if not name.endswith((".txt", ".md", ".jsonl")):
        raise UserError(f"{path}: protected texts are read from .txt, .md and .jsonl, each also .zst; convert it")
    try:
        data = path.read_bytes()
        text = (
            zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read() if path.suffix == ".zst" else data
        ).decode()
        if not name.endswith(".jsonl"):
            return [part for part in re.split(r"\n\s*\n", text) if part.strip()]
        return [found for line in text.split("\n") if line.strip() for found in _strings(json.loads(line))]
    except (OSError, ValueError, zstandard.ZstdError, RecursionError) as error:
        raise UserError(f"cannot read protected texts from {path}: {error}") from None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in DESCRIBING:
                yield from _strings(item)


def _check(settings: DecontaminationSettings) -> None:
    if settings.action not in ACTIONS:
        raise UserError(f"what to do with a protected text: {settings.action!r} is unknown; allowed: {', '.join(ACTIONS)}")
    if not (2 <= settings.min_units <= settings.n and 0 < settings.min_overlap <= 1 and settings.max_grams >= 1):
        raise UserError(f"decontamination settings {settings}: allowed are 2 <= min_units <= n, 0 < min_overlap <= 1 and max_grams >= 1")


def _whole_lines(hits_of: Mapping[str, list[Hit]], text: str) -> Iterator[Edit]:
    end = 0
    for hit in sorted(hits_of[text], key=lambda hit: hit.start):
        start = max(end, text.rfind("\n", 0, hit.start) + 1)
        stop = text.find("\n", max(start, hit.end - 1)) + 1 or len(text)
        if stop > start:
            yield Edit(start, text[start:stop], "")
            end = stop


def _blocks(texts: pl.Series, block_chars: int) -> Iterator[tuple[int, list[str]]]:
    """Texts in blocks of about `block_chars`, each with the row of its first."""
    first, held, num_chars = 0, [], 0
    for row, text in enumerate(texts):
        held.append(text or "")
        num_chars += len(held[-1])
        if num_chars >= block_chars:
            yield first, held
            first, held, num_chars = row + 1, [], 0
    if held:
        yield first, held


def _units(text: str) -> Units:
    table, is_single = _tables()
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    values = table[codes]
    is_letter, single = values > HARD, is_single[codes]
    ends_word = np.concatenate(([True], ~is_letter | single))[:-1]
    begins = is_letter & (single | ends_word)
    starts = np.flatnonzero(begins)
    if not len(starts):
        return Units(np.empty(0, np.uint64), starts, starts, np.empty(0, np.bool_))
    lead = int(starts[0])
    codes, values, is_letter, starts = codes[lead:], values[lead:], is_letter[lead:], starts - lead
    # What stands behind a unit is counted to it, and adds nothing to its sum.
    place = np.arange(len(codes)) - np.repeat(starts, np.diff(starts, append=len(codes)))
    weighted = np.where(is_letter, values, 0).astype(np.uint64) * _powers(BASE, WORD_CHARS)[place % WORD_CHARS]
    sums = np.add.reduceat(weighted, starts)
    hashes = (sums ^ (sums >> np.uint64(31))) * MIX
    num_letters = np.add.reduceat(is_letter.astype(np.int64), starts)
    num_hard = np.cumsum(values == HARD)[starts]
    is_first = np.concatenate(([True], num_hard[1:] > num_hard[:-1]))
    return Units(hashes ^ (hashes >> np.uint64(29)), starts + lead, starts + lead + num_letters, is_first)


def _prefix_sums(hashes: Words) -> Words:
    return np.concatenate((np.zeros(1, np.uint64), np.cumsum(hashes * _powers(GRAM_BASE, len(hashes)))))


def _grams(sums: Words, length: int, firsts: NDArray[np.int64]) -> Words:
    """A hash of the `length` units from each of `firsts`: a difference of sums, shifted to one power (all modulo 2**64)."""
    grams = (sums[firsts + length] - sums[firsts]) * _powers(GRAM_INVERSE, len(sums))[firsts]
    grams ^= grams >> np.uint64(32)
    return (grams * MIX) ^ np.uint64(length)


def _powers(base: np.uint64, count: int) -> Words:
    return _power_table(int(base), 1 << max(8, (count - 1).bit_length()))[:count]


@lru_cache(maxsize=64)
def _power_table(base: int, count: int) -> Words:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    cumulated: Words = np.cumprod(powers)
    return cumulated


class Tables(NamedTuple):
    """For each character what it is compared as (`SOFT` between words, `HARD` a sign or a line end), and whether it is a unit alone."""

    values: NDArray[np.uint32]
    is_single: NDArray[np.bool_]


@cache
def _tables() -> Tables:
    import opencc

    characters = [chr(code) for code in range(LAST_LETTER)]
    values = np.full(sys.maxunicode + 1, HARD, dtype=np.uint32)
    for code, character in enumerate(characters):
        if character.isspace():
            values[code] = HARD if character == "\n" else SOFT
        elif unicodedata.category(character)[0] in "LNM":
            values[code] = _compared(character)
    # A line for each, so that no two of them are read as a word.
    han = [code for low, high in HAN_AND_KANA for code in range(low, high) if values[code] > HARD]
    simple = opencc.OpenCC("t2s").convert("\n".join(characters[code] for code in han)).translate(ALSO_EQUAL).split("\n")
    values[han] = [ord(new) if len(new) == 1 else code for code, new in zip(han, simple, strict=True)]
    is_single = np.zeros(len(values), dtype=np.bool_)
    is_single[han] = True
    return Tables(values, is_single)


def _compared(character: str) -> int:
    """Its code in lower case and plain width."""
    plain = unicodedata.normalize("NFKC", character).lower()
    return ord(plain) if len(plain) == 1 else ord(character)
