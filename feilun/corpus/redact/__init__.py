"""Personal data and secrets out of texts: typed placeholders, checksums where a number has one, boundaries that hold beside Han.

A look in Polars flags texts; only those enter Python. What is found never stands in a log: an edit keeps place and length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_
from typing import NamedTuple

import polars as pl

from feilun.corpus.edits import Edit, Edited, apply_to, edit_texts, joined, unedited, withheld
from feilun.corpus.redact.addresses import find_private_addresses, find_public_addresses
from feilun.corpus.redact.contacts import find_emails, find_qq, find_wechat
from feilun.corpus.redact.kinds import Kind, spans_of
from feilun.corpus.redact.numbers import find_bank_cards, find_companies, find_id_cards
from feilun.corpus.redact.phones import PHONE_FLAG, PHONE_HINTS, find_phones
from feilun.corpus.redact.secrets import SECRET_FLAG, find_secrets
from feilun.corpus.repair.guards import among
from feilun.types import UserError

__all__ = ["KINDS", "RULE_PREFIX", "Redacted", "RedactionSettings", "check_kinds", "redact", "redact_texts"]

RULE_PREFIX = "pii_"
LONG_NUMBER = r"(?:^|[^0-9A-Za-z_.])[1-9][0-9]{3}[0-9 -]{10,}[0-9Xx](?:[^0-9A-Za-z_]|$)"
CODE_FLAG = r"(?:^|[^0-9A-Za-z_.])[1-9ANY][1-9A-GY][0-9]{6}[0-9A-Y]{10}(?:[^0-9A-Za-z_]|$)"
# Three expressions, each with something rare in it to look for first; as one it would be a walk over every byte.
MAIL_FLAGS = (
    r"[A-Za-z0-9_%+-]@[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2}", r"[\[({（【] ?(?:at|AT) ?[\])}）】]", r"[\[({（【] ?@ ?[\])}）】]",
)  # fmt: skip
HANDLE_FLAG = r"[^A-Za-z0-9\n]{0,6}(?:[Ii][Dd])?[^A-Za-z0-9\n]{0,8}[A-Za-z1-9][A-Za-z0-9_-]{5}"
WECHAT_FLAG = (
    rf"(?:[微薇威Vv]信|加(?:我|个|個)?[vV薇微]|[Ww][Ee] ?[Cc][Hh][Aa][Tt]|[Ww][Ee][Ii][Xx][Ii][Nn]|[Vv][Xx]|[Ww][Xx]){HANDLE_FLAG}"
)
QQ_FLAG = r"(?:[Qq][Qq]|扣扣|企[鹅鵝])[^0-9\n]{0,12}[0-9一二三四五]?[^0-9\n]{0,8}[1-9][0-9]{4}"
# Begun with one character or with a digit, they are searches for bytes.
NUMBER_HINT = (r"[0-9][0-9 -]{12}",)
CODE_HINT = (r"[0-9]{6}[0-9A-Z]{10}",)
MAIL_HINT = (r"@", r"[tT] ?[\])}）】]")
IP_HINT = (r"\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", r":[0-9A-Fa-f]{0,4}:")
IP_FLAG = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23fF][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]"
# Every hint of digits holds this: where it is not, none of them is looked for.
DIGITS = r"[0-9][0-9 ()（）.-]{4}"
HINTS_OF_DIGITS = frozenset((*NUMBER_HINT, *CODE_HINT, *PHONE_HINTS, IP_HINT[0]))
# Numbers and signs in full width are rare: such a text is looked through for every kind.
WIDE_FLAG = r"[０-９][０-９ －-]{4}|＠"

# In this order: an address before a number in it, a number with a check digit before one without.
_KINDS = (
    Kind(name="secret", placeholder="[SECRET]", flags=(SECRET_FLAG,), hint=(), find=find_secrets),
    Kind(name="email", placeholder="[EMAIL]", flags=MAIL_FLAGS, hint=MAIL_HINT, find=find_emails),
    Kind(name="id_card", placeholder="[ID_CARD]", flags=(LONG_NUMBER,), hint=NUMBER_HINT, find=find_id_cards),
    Kind(
        name="company",
        placeholder="[COMPANY_CODE]",
        flags=(CODE_FLAG,),
        hint=CODE_HINT,
        find=find_companies,
    ),
    Kind(name="bank_card", placeholder="[BANK_CARD]", flags=(LONG_NUMBER,), hint=NUMBER_HINT, find=find_bank_cards),
    Kind(name="wechat", placeholder="[WECHAT]", flags=(WECHAT_FLAG,), hint=(WECHAT_FLAG,), find=find_wechat),
    Kind(name="qq", placeholder="[QQ]", flags=(QQ_FLAG,), hint=(QQ_FLAG,), find=find_qq),
    Kind(name="phone", placeholder="[PHONE]", flags=(PHONE_FLAG,), hint=PHONE_HINTS, find=find_phones),
    Kind(name="ip", placeholder="[IP]", flags=(IP_FLAG,), hint=IP_HINT, find=find_public_addresses),
    Kind(name="private_ip", placeholder="[IP]", flags=(IP_FLAG,), hint=IP_HINT, find=find_private_addresses),
)
KINDS = tuple(kind.name for kind in _KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionSettings:
    """Which kinds are taken out; an empty tuple takes out nothing."""

    kinds: tuple[str, ...] = KINDS


class Redacted(NamedTuple):
    """A text without personal data, and how many of each kind were taken out (kinds without any are left out)."""

    text: str
    counts: dict[str, int]


DEFAULT = RedactionSettings()


def redact(text: str, settings: RedactionSettings = DEFAULT) -> Redacted:
    """One text; equal to what `redact_texts` makes of it, without its look beforehand. Doing it again changes nothing."""
    counts = {}
    for kind in _chosen(settings):
        if edits := _edits(kind, text):
            text = apply_to(text, edits)
            counts[kind.name] = len(edits)
    return Redacted(text, counts)


def redact_texts(texts: pl.Series, settings: RedactionSettings = DEFAULT) -> Edited:
    """A column of texts with placeholders for personal data; a null stays null.

    The rule of an edit is "pii_" and the kind. What stood there is not in the edits, only its length.
    Raises UserError for a kind that is not known.
    """
    kinds = _chosen(settings)
    flags = _flags(texts, kinds)
    rows = reduce(or_, flags.values(), pl.zeros(len(texts), dtype=pl.Boolean, eager=True)).arg_true()
    if rows.is_empty():
        return unedited(texts)
    chosen = texts.gather(rows)
    parts = []
    for kind in kinds:
        chosen, edits = edit_texts(chosen, flags[kind.name].gather(rows), RULE_PREFIX + kind.name, partial(_edits, kind))
        parts.append(edits)
    edits = withheld(joined(parts))
    return Edited(texts.clone().scatter(rows, chosen), edits.with_columns(row=rows.gather(edits["row"])))


def _flags(texts: pl.Series, kinds: Sequence[Kind]) -> dict[str, pl.Series]:
    """Where each kind may be: the quick hints first, for most texts hold nothing; then its flags."""
    hints = {hint for kind in kinds for hint in kind.hint}
    looks = _found(texts, (WIDE_FLAG, DIGITS, *(hints - HINTS_OF_DIGITS)))
    rows = looks[DIGITS].arg_true()
    nowhere = pl.zeros(len(texts), dtype=pl.Boolean, eager=True)
    in_digits = _found(texts.gather(rows), (*(hints & HINTS_OF_DIGITS),))
    looks |= {hint: nowhere.clone().scatter(rows, where) for hint, where in in_digits.items()}
    found: dict[tuple[str, ...], pl.Series] = {}
    for kind in kinds:
        if kind.flags not in found:
            looked_at = reduce(or_, (looks[hint] for hint in kind.hint)) if kind.hint else ~nowhere
            found[kind.flags] = among(texts, looked_at, partial(_any_of, kind.flags)) | looks[WIDE_FLAG]
    return {kind.name: found[kind.flags] for kind in kinds}


def _any_of(patterns: Sequence[str], texts: pl.Series) -> pl.Series:
    return reduce(or_, _found(texts, patterns).values())


def _found(texts: pl.Series, patterns: Sequence[str]) -> dict[str, pl.Series]:
    """Where each expression matches; a null holds none."""
    columns = [pl.col("text").str.contains(pattern).fill_null(False).alias(pattern) for pattern in patterns]
    return texts.alias("text").to_frame().select(columns).to_dict(as_series=True)


def _edits(kind: Kind, text: str) -> list[Edit]:
    return [Edit(start, text[start:end], kind.placeholder) for start, end in spans_of(kind, text)]


def check_kinds(kinds: Sequence[str]) -> None:
    """Raises UserError for a kind that is not known."""
    if unknown := next((name for name in kinds if name not in KINDS), None):
        raise UserError(f"kind of personal data {unknown!r} is unknown; allowed: {', '.join(KINDS)}")


def _chosen(settings: RedactionSettings) -> list[Kind]:
    check_kinds(settings.kinds)
    return [kind for kind in _KINDS if kind.name in settings.kinds]
