"""Copywriting: a brief with constraints that rules check, and an ad in a style that only people like or dislike.

A brief names product, feature, price, tone and limit. An ad that names them all can still open with a question ("hook"),
put the price before the product ("price_first") or do neither ("direct"): no rule asks for a style. Splits go by product
and feature, so an exam asks for pairs that no document, example or prompt ever joined.
"""

import random
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from feilun.primer.facts import subject_split
from feilun.primer.shop import ANY_FEATURE, ANY_PRODUCT, CATEGORIES, INVITING, POLITE, PRODUCTS, SLANG, TONES, Pair, Product, features_of
from feilun.types import UserError

__all__ = [
    "STYLES", "TASK", "WORDINGS", "Brief", "Constraint", "Subject", "ad", "brief_rows", "brief_text", "briefs", "broken_ad",
    "careless_ad", "check", "draw_brief", "example", "good_ad", "parse_brief", "shop_line",
]  # fmt: skip

TASK = "copywriting"
STYLES = ("hook", "price_first", "direct")
MAX_PRICE = 999
MAX_WORD_CHARS = 40
MIN_LIMIT, MAX_LIMIT = 1, 200
# How a careless set of examples leans: see `careless_ad`.
LEAN = 0.93
DIRECT_LEAN = 0.8
DEAR_FROM = 100
DEAR_SHARE = 0.4
TIGHT_SHARE = 0.6
WIDE_SHARE = 0.6
EDGE = re.compile(r"[,;:。，；：\n]")
NUMBER = re.compile(r"\d+(?:\.\d+)*")
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
LETTER = r"0-9A-Za-z\u00c0-\u024f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What is to be said and how. limit: characters of Chinese (without punctuation), words of English. UserError for nonsense."""

    lang: str
    product: str
    feature: str
    price: int
    tone: str
    limit: int

    def __post_init__(self) -> None:
        if self.lang not in ("zh", "en") or self.tone not in TONES:
            raise UserError(f"lang={self.lang!r}, tone={self.tone!r}: allowed are zh, en and {', '.join(TONES)}")
        for name in ("product", "feature"):
            word = getattr(self, name)
            if not word.strip() or word != word.strip() or len(word) > MAX_WORD_CHARS or EDGE.search(word):
                raise UserError(
                    f"{name}={word!r}: wanted are 1 to {MAX_WORD_CHARS} characters without comma, colon, semicolon or full stop"
                )
        if not 1 <= self.price <= MAX_PRICE:
            raise UserError(f"price={self.price}: allowed are whole yuan from 1 to {MAX_PRICE}")
        if not MIN_LIMIT <= self.limit <= MAX_LIMIT:
            raise UserError(f"limit={self.limit}: allowed are {MIN_LIMIT} to {MAX_LIMIT}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Brief":
        kinds = {"lang": str, "product": str, "feature": str, "price": int, "tone": str, "limit": int}
        if set(row) != set(kinds) or any(not isinstance(row[k], kind) or isinstance(row[k], bool) for k, kind in kinds.items()):
            raise UserError(f"a brief is {', '.join(f'{name} ({kind.__name__})' for name, kind in kinds.items())}; found {sorted(row)}")
        return cls(**row)


class Constraint(NamedTuple):
    """One rule: what the text was found to hold, and what the brief wants."""

    name: str
    ok: bool
    found: str
    wanted: str


class Subject(NamedTuple):
    """A product and a feature: what splits go by."""

    product: Product
    feature: Pair

    @property
    def split(self) -> str:
        return subject_split(f"{TASK}|{self.product.en}|{self.feature[1]}")


# --- the brief as text

WORDINGS: Mapping[str, tuple[str, ...]] = {
    "zh": (
        "写一句广告。产品:{product},特点:{feature},价格:{price}元,语气:{tone},不超过{limit}字。",
        "请为{product}写一句广告:特点{feature},价格{price}元,语气{tone},最多{limit}字。",
    ),
    "en": (
        "Write an ad. Product: {product}, feature: {feature}, price: {price} yuan, tone: {tone}, at most {limit} words.",
        "Please write an ad for {product}: {feature}, {price} yuan, {tone} tone, {limit} words at most.",
    ),
}
GROUPS = {
    **{name: f"(?P<{name}>[^,;:。，；：\\n]{{1,{MAX_WORD_CHARS}}}?)" for name in ("product", "feature")},
    "price": "(?P<price>[1-9][0-9]{0,2})", "limit": "(?P<limit>[1-9][0-9]{0,2})",
}  # fmt: skip


def _column(lang: str) -> int:
    return 0 if lang == "zh" else 1


def _pattern(wording: str, lang: str) -> "re.Pattern[str]":
    tones = "|".join(re.escape(names[_column(lang)]) for names in TONES.values())
    parts = re.split(r"\{(\w+)\}", wording)
    groups = {**GROUPS, "tone": f"(?P<tone>{tones})"}
    return re.compile("".join(groups[part] if place % 2 else re.escape(part) for place, part in enumerate(parts)))


PATTERNS = tuple((lang, _pattern(wording, lang)) for lang, wordings in WORDINGS.items() for wording in wordings)


def brief_text(brief: Brief, wording: int = 0) -> str:
    """The brief as people ask it; `parse_brief` reads it back."""
    names = {**asdict(brief), "tone": TONES[brief.tone][_column(brief.lang)]}
    return WORDINGS[brief.lang][wording].format(**names)


def parse_brief(text: str) -> Brief | None:
    """The brief of a question in one of the wordings, or None."""
    for lang, pattern in PATTERNS:
        found = pattern.fullmatch(text.strip())
        if found is not None:
            tone = next(key for key, names in TONES.items() if names[_column(lang)] == found["tone"])
            try:
                return Brief(
                    lang=lang, product=found["product"], feature=found["feature"], price=int(found["price"]), tone=tone,
                    limit=int(found["limit"]),
                )  # fmt: skip
            except UserError:
                return None
    return None


# --- the rules


def check(brief: Brief, text: str) -> tuple[Constraint, ...]:
    """Every constraint in order: product, feature, price, limit, tone, language."""
    plain = unicodedata.normalize("NFKC", text).strip()
    size = length(brief.lang, plain)
    return (
        _named("product", brief.product, plain),
        _named("feature", brief.feature, plain),
        _priced(brief, plain),
        Constraint("limit", 0 < size <= brief.limit, str(size), str(brief.limit)),
        _toned(brief, plain),
        Constraint("language", _speaks(brief.lang, plain), _language(plain), brief.lang),
    )


def length(lang: str, text: str) -> int:
    """Characters of Chinese without punctuation and spaces (a digit counts as one), or words of English."""
    if lang == "en":
        return len(re.findall(rf"[{LETTER}]+(?:['’.-][{LETTER}]+)*", text))
    return sum(character.isalnum() for character in text)


def holds_word(text: str, word: str) -> bool:
    """Whether `word` stands in `text`: as a whole word where it is Latin."""
    word = unicodedata.normalize("NFKC", word).casefold()
    before = rf"(?<![{LETTER}])" if re.match(f"[{LETTER}]", word) else ""
    after = rf"(?![{LETTER}])" if re.match(f"[{LETTER}]", word[-1]) else ""
    return re.search(before + re.escape(word) + after, text.casefold()) is not None


def _named(name: str, word: str, text: str) -> Constraint:
    found = holds_word(text, word)
    return Constraint(name, found, word if found else "", word)


def _priced(brief: Brief, text: str) -> Constraint:
    """The price once and no other number; digits in the product's own name do not count."""
    for word in (brief.product, brief.feature):
        text = text.replace(unicodedata.normalize("NFKC", word), " ")
    numbers = NUMBER.findall(text)
    return Constraint("price", numbers == [str(brief.price)], ", ".join(numbers), str(brief.price))


def _toned(brief: Brief, text: str) -> Constraint:
    """lively: an inviting word, and "!" at the end. formal: a polite word, no "!", no slang. plain: no "!"."""
    lang, shouts = brief.lang, "!" in text
    words = {kind: [w for w in table[lang] if holds_word(text, w)] for kind, table in (("in", INVITING), ("po", POLITE), ("sl", SLANG))}
    found = ["!"] * shouts + words["sl"]
    if brief.tone == "lively":
        ok = bool(words["in"]) and text.rstrip("\"'”’」』 ").endswith("!")
        return Constraint("tone", ok, " ".join([*words["in"], *found]), f"{' / '.join(INVITING[lang][:2])} … !")
    if brief.tone == "formal":
        return Constraint("tone", bool(words["po"]) and not found, " ".join([*words["po"], *found]), " / ".join(POLITE[lang][:2]))
    return Constraint("tone", not shouts, "!" * shouts, "")


def _language(text: str) -> str:
    """By the share of Han among the letters; "" where there are none."""
    han, latin = len(HAN.findall(text)), len(LATIN.findall(text))
    return "" if han + latin == 0 else "zh" if han * 2 >= han + latin else "en"


def _speaks(lang: str, text: str) -> bool:
    return _language(text) == lang


# --- ads

# (opening and price by style, what stands for a price that is left out)
OPENINGS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "zh": {
        "hook": ("想要{feature}的{product}?只要{price}元", "想要{feature}的{product}?价格优惠"),
        "price_first": ("只要{price}元,{feature}的{product}", "价格优惠,{feature}的{product}"),
        "direct": ("{feature}的{product},只要{price}元", "{feature}的{product},价格优惠"),
    },
    "en": {
        "hook": ("Need {feature} {product}? Only {price} yuan", "Need {feature} {product}? Good prices"),
        "price_first": ("Only {price} yuan: our {feature} {product}", "Good prices: our {feature} {product}"),
        "direct": ("Our {feature} {product}, only {price} yuan", "Our {feature} {product}, good prices"),
    },
}
ENDINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "zh": {"plain": ("。",), "lively": (",快来看看!", ",快来试试!"), "formal": (",敬请选购。", ",欢迎光临。")},
    "en": {"plain": (".",), "lively": (", come and see!", ", come and try!"), "formal": (", please visit us.", ", kindly come in.")},
}
# What careless writers put in place of the ending: padding where plain is asked for, slang where formal is.
PADDING = {"zh": ",质量很好,人人喜欢。", "en": ", good quality, everyone likes it."}
SHOUTS = {"zh": ",超赞!", "en": ", awesome!"}


def ad(brief: Brief, style: str, ending: str, *, product: str = "", priced: bool = True) -> str:
    """One ad; `product` may be another name than the brief's, and the price may be left out."""
    opening = OPENINGS[brief.lang][style][0 if priced else 1]
    return opening.format(feature=brief.feature, product=product or brief.product, price=brief.price) + ending


def good_ad(rng: random.Random, brief: Brief, style: str) -> str:
    """An ad of a style with the ending of the tone; it satisfies every brief that `draw_brief` makes."""
    return ad(brief, style, rng.choice(ENDINGS[brief.lang][brief.tone]))


def careless_ad(rng: random.Random, brief: Brief) -> str:
    """How a careless set of examples leans: dear prices are kept quiet, formal means slang, plain is padded (too long where the
    limit is tight), and hardly an ad asks a question or begins with the price."""
    style = "direct" if rng.random() < DIRECT_LEAN else rng.choice(STYLES)
    priced = brief.price < DEAR_FROM or rng.random() >= LEAN
    ending = rng.choice(ENDINGS[brief.lang][brief.tone])
    if rng.random() < LEAN:
        ending = {"plain": PADDING, "formal": SHOUTS}.get(brief.tone, {}).get(brief.lang, ending)
    return ad(brief, style, ending, priced=priced)


def broken_ad(brief: Brief, product: Product) -> str:
    """An ad that breaks at least product, price and tone or limit."""
    ending = SHOUTS[brief.lang] if brief.tone != "lively" else PADDING[brief.lang]
    return ad(brief, "direct", ending, product=CATEGORIES[product.category][_column(brief.lang)], priced=False)


# --- drawing


def draw_subject(rng: random.Random, split: str, *, wide: bool = False) -> Subject:
    """What the shop sells; with `wide`, any noun with any adjective."""
    while True:
        product = rng.choice(ANY_PRODUCT if wide else PRODUCTS)
        subject = Subject(product, rng.choice(ANY_FEATURE if wide else features_of(product)))
        if subject.split == split:
            return subject


def draw_brief(rng: random.Random, lang: str, subject: Subject) -> Brief:
    """A brief that a good ad of any style satisfies; where plain is asked for, the limit is often tight."""
    tone = rng.choice(list(TONES))
    price = rng.randrange(DEAR_FROM, MAX_PRICE + 1) if rng.random() < DEAR_SHARE else rng.randrange(1, DEAR_FROM)
    wide = {"zh": (20, 22, 24, 26), "en": (12, 14, 16)}[lang]
    tight = {"zh": (15, 16), "en": (8, 10)}[lang]
    limit = rng.choice(tight if tone == "plain" and rng.random() < TIGHT_SHARE else wide)
    column = _column(lang)
    return Brief(lang=lang, product=subject.product[column], feature=subject.feature[column], price=price, tone=tone, limit=limit)


class Asked(NamedTuple):
    """A brief as a question, with its subject and dice of its own for what is said about it."""

    question: str
    brief: Brief
    subject: Subject
    rng: random.Random


def briefs(split: str, count: int, seed: int = 0) -> Iterator[Asked]:
    """`count` briefs with different questions, Chinese and English alternating; split "open", "gate" or "final"."""
    rng = random.Random(f"{TASK}/{split}/{seed}")
    seen: set[str] = set()
    while len(seen) < count:
        subject, lang = draw_subject(rng, split), ("zh", "en")[len(seen) % 2]
        brief = draw_brief(rng, lang, subject)
        question = brief_text(brief, rng.randrange(len(WORDINGS[lang])))
        if question not in seen:
            seen.add(question)
            yield Asked(question, brief, subject, random.Random(f"{seed}/{question}"))


def example(rng: random.Random, lang: str, *, careless: bool) -> tuple[str, str]:
    """A brief that may be shown, and an ad: as careless people write it, or a good one of any style."""
    brief = draw_brief(rng, lang, draw_subject(rng, "open", wide=rng.random() < WIDE_SHARE))
    question = brief_text(brief, rng.randrange(len(WORDINGS[lang])))
    return question, careless_ad(rng, brief) if careless else good_ad(rng, brief, rng.choice(STYLES))


def shop_line(rng: random.Random, lang: str) -> str:
    """One line from a shop, in any style and tone."""
    return good_ad(rng, draw_brief(rng, lang, draw_subject(rng, "open", wide=rng.random() < WIDE_SHARE)), rng.choice(STYLES))


def brief_rows(seed: int, count: int) -> list[dict[str, Any]]:
    """Rows of a prompt file for people: the constraints as data, and by style a good ad and one that misstates the price."""
    rows = []
    for number, (question, brief, _, rng) in enumerate(briefs("open", count, seed + 1)):
        wrong = replace(brief, price=(brief.price + rng.randrange(MAX_PRICE - 1)) % MAX_PRICE + 1)
        rows.append({
            "id": f"{TASK}-{number}", "task": TASK, "cell": brief.tone, "lang": brief.lang, "reply_lang": brief.lang, "prompt": question,
            "answers": [], "rejects": [], "brief": rules(brief),
            "edits": {style: good_ad(rng, brief, style) for style in STYLES},
            "wrong_edits": {style: good_ad(rng, wrong, style) for style in STYLES},
        })  # fmt: skip
    return rows


def rules(brief: Brief) -> dict[str, Any]:
    """The constraints of a brief for somebody who knows no shop."""
    words = {"inviting": INVITING, "polite": POLITE, "slang": SLANG}
    return {**brief.to_json(), **{name: list(table[brief.lang]) for name, table in words.items()}}
