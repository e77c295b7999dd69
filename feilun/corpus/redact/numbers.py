"""Numbers with a check digit: identity card, bank card, company. One that fails its check is left as it is."""

import re
from collections.abc import Iterator
from datetime import date

from feilun.corpus.redact.kinds import Span, digits_of, is_in_address, label_before
from feilun.corpus.redact.words import BANK_WORDS, COMPANY_WORDS, ID_WORDS, OTHER_WORDS, names_in

__all__ = ["find_bank_cards", "find_companies", "find_id_cards", "is_bank_card", "is_company", "is_id_card", "passes_luhn"]

# GB/T 2260: the first two digits of an address code.
PROVINCES = names_in("""11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 91""")
# GB 11643-1999: ISO 7064 MOD 11-2.
ID_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
ID_CHECKS = "10X98765432"
# GB 32100-2015: digits and letters without I, O, S, V, Z; powers of 3 modulo 31.
COMPANY_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
COMPANY_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)

OPEN, SHUT = r"(?<![0-9A-Za-z_.])(?<![0-9]-)", r"(?![0-9A-Za-z_]|[.-][0-9])"
ID_CARD = re.compile(rf"{OPEN}[1-9][0-9]{{5}}([ -]?)(?:18|19|20)[0-9]{{6}}\1[0-9]{{3}}[0-9Xx]{SHUT}")
OLD_ID_CARD = re.compile(rf"{OPEN}[1-9][0-9]{{14}}{SHUT}")
COMPANY = re.compile(rf"{OPEN}[1-9ANY][1-9A-GY][0-9]{{6}}[0-9A-HJ-NPQRTUWXY]{{10}}{SHUT}")
BANK_CARD = re.compile(
    rf"{OPEN}(?:[2-69][0-9]{{13,18}}|[2-69][0-9]{{3}}([ -])[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{2,4}}(?:\1[0-9]{{1,3}})?"
    rf"|3[0-9]{{3}}[ -][0-9]{{6}}[ -][0-9]{{4,5}}){SHUT}"
)
# (first prefix, last prefix, lengths) as the networks publish them (ISO/IEC 7812): UnionPay, the debit cards of ICBC and ABC
# from before it, Visa, Mastercard, American Express, JCB, Diners Club, Discover.
ISSUERS = (
    ("62", "62", (16, 17, 18, 19)), ("95588", "95588", (19,)), ("95599", "95599", (19,)), ("4", "4", (16,)),
    ("51", "55", (16,)), ("2221", "2720", (16,)), ("34", "34", (15,)), ("37", "37", (15,)), ("3528", "3589", (16,)),
    ("300", "305", (14,)), ("36", "36", (14,)), ("38", "39", (14,)), ("6011", "6011", (16,)), ("644", "649", (16,)), ("65", "65", (16,)),
)  # fmt: skip
# Nobody's cards: what the networks print in their manuals.
SAMPLE_CARDS = names_in("""4111111111111111 4242424242424242 5555555555554444 5105105105105100 378282246310005 371449635398431""")


def is_id_card(number: str) -> bool:
    """18 characters with a right check digit, a province, and a day of birth that can be."""
    number = number.upper()
    total = sum(weight * int(digit) for weight, digit in zip(ID_WEIGHTS, number[:17], strict=True))
    return ID_CHECKS[total % 11] == number[17] and number[:2] in PROVINCES and _is_birthday(number[6:14])


def _is_birthday(text: str) -> bool:
    try:
        return date(1880, 1, 1) <= date(int(text[:4]), int(text[4:6]), int(text[6:])) <= date(2099, 12, 31)
    except ValueError:
        return False


def is_company(code: str) -> bool:
    """统一社会信用代码: 18 characters with a right check character and an address code that can be."""
    total = sum(weight * COMPANY_ALPHABET.index(c) for weight, c in zip(COMPANY_WEIGHTS, code[:17], strict=True))
    return COMPANY_ALPHABET[-total % 31] == code[17] and (code[2:4] in PROVINCES or code[2:4] == "10")


def is_organisation(code: str) -> bool:
    """GB 11714: the nine characters of an organisation inside a company's code; the ninth is a check."""
    total = sum(weight * int(c, 36) for weight, c in zip(ORGANISATION_WEIGHTS, code[:8], strict=True))
    return "0X987654321"[total % 11] == code[8]


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    values = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in values) % 10 == 0


def is_bank_card(digits: str) -> bool:
    """A length and a prefix that a card network gives out, and Luhn's check."""
    is_issued = any(len(digits) in lengths and low <= digits[: len(low)] <= high for low, high, lengths in ISSUERS)
    return is_issued and len(set(digits)) > 2 and digits not in SAMPLE_CARDS and passes_luhn(digits)


def find_id_cards(text: str, start: int, end: int) -> Iterator[Span]:
    found = [Span(*m.span()) for m in ID_CARD.finditer(text, start, end) if is_id_card(re.sub("[ -]", "", m[0]))]
    # The 15 digits of before 1999 have no check: only behind their name, and with a day of birth that can be.
    old = (m for m in OLD_ID_CARD.finditer(text, start, end) if m[0][:2] in PROVINCES and _is_birthday("19" + m[0][6:12]))
    found += [Span(*m.span()) for m in old if label_before(text, m.start(), ID_WORDS, OTHER_WORDS) > 0]
    yield from sorted(found)


def find_companies(text: str, start: int, end: int) -> Iterator[Span]:
    for match in COMPANY.finditer(text, start, end):
        label = label_before(text, match.start(), COMPANY_WORDS, OTHER_WORDS)
        # Nothing but digits is how orders are numbered, too: without a name it must pass the check inside it as well.
        is_sure = label > 0 or not match[0].isdigit() or is_organisation(match[0][8:17])
        if label >= 0 and is_sure and is_company(match[0]):
            yield Span(*match.span())


def find_bank_cards(text: str, start: int, end: int) -> Iterator[Span]:
    for match in BANK_CARD.finditer(text, start, end):
        digits = digits_of(match[0])
        # Random numbers of 14 digits pass too often, and hardly anybody has such a card.
        needs_label = len(digits) == 14
        named = label_before(text, match.start(), BANK_WORDS, OTHER_WORDS) >= needs_label
        if named and is_bank_card(digits) and not is_in_address(text, match.start()):
            yield Span(*match.span())
