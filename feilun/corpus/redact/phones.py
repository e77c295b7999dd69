"""Telephone numbers: Chinese mobiles and landlines, Taiwan, North America as they are written, and E.164 everywhere."""

import re
from collections.abc import Callable, Iterator

from feilun.corpus.redact.kinds import Span, digits_of, is_in_address, label_before
from feilun.corpus.redact.words import OTHER_WORDS, PHONE_WORDS

__all__ = ["PHONE_FLAG", "PHONE_HINTS", "find_phones"]

OPEN = r"(?:(?<![0-9A-Za-z_])(?<![0-9A-Za-z]\.)(?<![0-9]-)(?<![A-Za-z]/)|(?<![A-Za-z])(?i:tel|phone|mobile|mob|call|dial|[vw]x)[.:/]?)"
SHUT = r"(?![0-9A-Za-z_%]|[.-][0-9])"
MOBILE = re.compile(
    rf"{OPEN}(?P<number>(?:(?:\+|00)?86[ -]?|\(\+?86\)[ -]?)?"
    rf"(?:1[3-9][0-9]{{9}}|(?<![0-9] )1[3-9][0-9]([ -])[0-9]{{4}}\2[0-9]{{4}}(?![ -][0-9]))){SHUT}"
)
EXTENSION = r"(?:(?:-|[ ]?(?:转|轉|ext\.?)[ ]?)[0-9]{1,5})?"
LANDLINE = re.compile(
    rf"{OPEN}(?P<number>(?:[(（](?P<in>0[0-9]{{2,3}})[)）][ ]?|(?P<out>0[0-9]{{2,3}})(?:[ ]?-[ ]?|[ ]))"
    rf"(?P<local>[2-9][0-9]{{2,3}}[ -]?[0-9]{{4}}){EXTENSION}){SHUT}"
)
TAIWAN = re.compile(
    rf"{OPEN}(?P<number>\(0[2-8]\)[ ]?[2-9][0-9]{{2,3}}-?[0-9]{{4}}|0[2-8]-[2-9][0-9]{{2,3}}-[0-9]{{4}}"
    rf"|09[0-9]{{2}}([- ])[0-9]{{3}}\2[0-9]{{3}}){SHUT}"
)
# Only behind a word for telephone: so many codes begin with 0.
UNBROKEN = re.compile(rf"{OPEN}(?P<number>0[2-9][0-9]{{8,10}}|010[0-9]{{8}}){SHUT}")
AMERICA = re.compile(rf"{OPEN}(?P<number>(?:\([2-9][0-9]{{2}}\)[ ]?|[2-9][0-9]{{2}}-)[2-9][0-9]{{2}}-[0-9]{{4}}){SHUT}")
INTERNATIONAL = re.compile(rf"(?<![0-9A-Za-z_)\]+])(?P<number>\+[1-9](?:[ .-]?(?:\([0-9]{{1,4}}\)|[0-9])){{6,14}}){SHUT}")
# The same forms without looking around: mobile, landline, unbroken, Taiwan's two, international, American. Each begins with one
# character, or a digit, so that it is a search for bytes.
MOBILE_FORM = r"1[3-9][0-9](?:[0-9]{8}|[ -][0-9]{4}[ -][0-9]{4})"
LANDLINE_FORM = r"0[0-9]{2,3}(?:[)）] ?| ?- ?| )[2-9][0-9]{2,3}[ -]?[0-9]{4}"
UNBROKEN_FORM = r"0[1-9][0-9]{8,10}"
OTHER_FORMS = (
    r"0[2-8](?:\) ?|-)[2-9][0-9]{2,3}-?[0-9]{4}", r"09[0-9]{2}[- ][0-9]{3}[- ][0-9]{3}",
    r"\+[1-9](?:[ .-]?(?:\([0-9]{1,4}\)|[0-9])){6}", r"[2-9][0-9]{2}(?:-|\) ?)[2-9][0-9]{2}-[0-9]{4}",
)  # fmt: skip
PHONE_HINTS = (MOBILE_FORM, LANDLINE_FORM, UNBROKEN_FORM, *OTHER_FORMS)
# What stands before and behind is consumed.
EDGE, STOP = r"(?:^|[^0-9A-Za-z_.]|86[ -]?|(?:el|ne|le|ob|ll|al|x|X|L|E)[.:/]?)", r"(?:[^0-9A-Za-z_%]|$)"
PHONE_FLAG = "|".join(
    (
        f"{EDGE}{MOBILE_FORM}{STOP}", f"{EDGE}{LANDLINE_FORM}(?:{STOP}|ext)", f"{EDGE}{UNBROKEN_FORM}{STOP}", *OTHER_FORMS,
    )
)  # fmt: skip
AREA = re.compile(r"010|02[0-57-9]|0[3-9][0-9]{2}")
# ITU-T E.164, assigned country codes: (code, digits in all, where the national plan fixes them).
COUNTRY_LENGTHS = {
    "1": (11, 11), "7": (11, 11), "44": (11, 12), "33": (11, 11), "34": (11, 11), "39": (10, 13), "49": (10, 14), "55": (12, 13),
    "60": (10, 12), "61": (11, 11), "62": (10, 14), "63": (11, 12), "65": (10, 10), "66": (10, 11), "81": (11, 12), "82": (10, 12),
    "84": (11, 12), "86": (11, 13), "91": (12, 12), "852": (11, 11), "853": (11, 11), "886": (11, 12),
}  # fmt: skip
OTHER_COUNTRY = re.compile(
    r"2(?:0|7|[1-69][0-9])|3[0-46-9]|3[578][0-9]|4[013-9]|42[0-9]|5[1-8]|5[09][0-9]"
    r"|6[0-6]|6[789][0-9]|8[1246]|8[058][0-9]|9[0-58]|9[679][0-9]"
)
OTHER_LENGTHS = (9, 15)


def find_phones(text: str, start: int, end: int) -> Iterator[Span]:
    found: list[Span] = []
    taken: set[int] = set()
    # The longer forms first: +86 10 ... is one number, and not a landline behind a sign.
    for pattern, is_right in FORMS:
        for match in pattern.finditer(text, start, end):
            span = Span(*match.span("number"))
            if taken.isdisjoint(range(*span)) and is_right(match) and _is_meant(text, span, needs_label=pattern is UNBROKEN):
                found.append(span)
                taken.update(range(*span))
    yield from sorted(found)


def _is_meant(text: str, span: Span, needs_label: bool) -> bool:
    """Not an order's number, not in a web address, not between the dollars of a formula."""
    is_formula = text[max(0, span.start - 1) : span.start] == "$" == text[span.end : span.end + 1]
    named = label_before(text, span.start, PHONE_WORDS, OTHER_WORDS) >= needs_label
    return named and not is_formula and not is_in_address(text, span.start)


def _is_landline(match: re.Match[str]) -> bool:
    area, num_local = match["in"] or match["out"], len(digits_of(match["local"]))
    return bool(AREA.fullmatch(area)) and (num_local == 8 or (num_local == 7 and len(area) == 4))


def _is_international(match: re.Match[str]) -> bool:
    digits = digits_of(match[0])
    codes = [code for code in (digits[:1], digits[:2], digits[:3]) if code in COUNTRY_LENGTHS]
    low, high = COUNTRY_LENGTHS[codes[0]] if codes else OTHER_LENGTHS
    return bool(codes or OTHER_COUNTRY.match(digits)) and low <= len(digits) <= high


def _always(match: re.Match[str]) -> bool:
    return True


FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (INTERNATIONAL, _is_international), (LANDLINE, _is_landline), (MOBILE, _always), (TAIWAN, _always), (AMERICA, _always),
    (UNBROKEN, _always),
)  # fmt: skip
