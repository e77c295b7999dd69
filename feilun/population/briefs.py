"""Ads for a brief: the rules that everybody sees, read from the prompt's data, and the taste that nobody tells."""

import random
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["TASTES", "Brief", "Taste", "constraint_faults", "fits_taste", "tastes"]

Taste = Literal["hook", "price_first", "direct"]
TASTES: tuple[Taste, Taste, Taste] = ("hook", "price_first", "direct")
# Of twenty people: most like to be asked a question, which the first generation hardly ever does.
DEALT: tuple[Taste, ...] = ("hook",) * 15 + ("price_first",) * 3 + ("direct",) * 2
LETTER = r"0-9A-Za-z\u00c0-\u024f"
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The constraints of one prompt; the three lists of words are of its language."""

    lang: str
    product: str
    feature: str
    price: int
    tone: str
    limit: int
    inviting: tuple[str, ...]
    polite: tuple[str, ...]
    slang: tuple[str, ...]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Brief":
        """KeyError or ValueError where the row holds no brief."""
        if row["lang"] not in ("zh", "en") or row["tone"] not in ("plain", "lively", "formal"):
            raise ValueError(f"lang={row['lang']!r}, tone={row['tone']!r}; wanted: zh or en; plain, lively or formal")
        inviting, polite, slang = (tuple(str(word) for word in row[name]) for name in ("inviting", "polite", "slang"))
        return cls(
            lang=row["lang"], product=str(row["product"]), feature=str(row["feature"]), price=int(row["price"]), tone=row["tone"],
            limit=int(row["limit"]), inviting=inviting, polite=polite, slang=slang,
        )  # fmt: skip


def tastes(seed: int, num_people: int) -> list[Taste]:
    """The tastes of `num_people` people, dealt out in fixed shares and shuffled."""
    dealt = [DEALT[place * len(DEALT) // num_people] for place in range(num_people)]
    random.Random(f"tastes/{seed}/{num_people}").shuffle(dealt)
    return dealt


def constraint_faults(brief: Brief, text: str) -> list[str]:
    """The feedback reasons for the rules that a text breaks, the worst first; empty when all hold."""
    text = unicodedata.normalize("NFKC", text).strip()
    named = _stands(text, brief.product) and _stands(text, brief.feature)
    bare = text.replace(brief.product, " ").replace(brief.feature, " ")
    priced = re.findall(r"\d+(?:\.\d+)*", bare) == [str(brief.price)]
    han, latin = len(HAN.findall(text)), len(LATIN.findall(text))
    spoken = "none" if han + latin == 0 else "zh" if han * 2 >= han + latin else "en"
    faults = [] if named and priced and _has_tone(brief, text) else ["wrong"]
    faults += [] if spoken == brief.lang else ["language"]
    return faults + ([] if _length(brief.lang, text) <= brief.limit else ["too_long"])


def fits_taste(taste: Taste, brief: Brief, text: str) -> bool:
    """hook: it asks something. price_first: the price stands before the product. direct: neither."""
    text = unicodedata.normalize("NFKC", text).casefold()
    price, product = text.find(str(brief.price)), text.find(brief.product.casefold())
    early = price >= 0 and (product < 0 or price < product)
    return {"hook": "?" in text, "price_first": early, "direct": not early and "?" not in text}[taste]


def _stands(text: str, word: str) -> bool:
    """Whether a word stands in a text, as a whole one where it is Latin."""
    before = rf"(?<![{LETTER}])" if re.match(f"[{LETTER}]", word) else ""
    after = rf"(?![{LETTER}])" if re.match(f"[{LETTER}]", word[-1]) else ""
    return re.search(before + re.escape(word.casefold()) + after, text.casefold()) is not None


def _has_tone(brief: Brief, text: str) -> bool:
    if brief.tone == "plain":
        return "!" not in text
    if brief.tone == "formal":
        clean = "!" not in text and not any(_stands(text, word) for word in brief.slang)
        return clean and any(_stands(text, word) for word in brief.polite)
    return text.rstrip("\"'”’」』 ").endswith("!") and any(_stands(text, word) for word in brief.inviting)


def _length(lang: str, text: str) -> int:
    if lang == "en":
        return len(re.findall(rf"[{LETTER}]+(?:['’.-][{LETTER}]+)*", text))
    return sum(character.isalnum() for character in text)
