"""Which licences a corpus may hold: SPDX expressions, read and sorted by the ScanCode database that `license-expression` carries."""

import re
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any

import polars as pl

from feilun.types import UserError

__all__ = ["LicencePolicy", "licence_reasons", "named_policy", "why_refused"]

OPEN_CATEGORIES = frozenset(("Permissive", "Copyleft", "Copyleft Limited", "Public Domain"))
# What cards and rows say where SPDX has another word, or a version that does not matter here.
OTHER_WORDS = {
    "public-domain": "CC-PDDC", "public domain": "CC-PDDC", "cc0": "CC0-1.0", "cc-by": "CC-BY-4.0", "cc-by-sa": "CC-BY-SA-4.0",
    "cc-by-nc": "CC-BY-NC-4.0", "cc-by-nc-sa": "CC-BY-NC-SA-4.0", "cc-by-nd": "CC-BY-ND-4.0", "cc-by-nc-nd": "CC-BY-NC-ND-4.0",
    "bsd": "BSD-3-Clause", "apache": "Apache-2.0", "apache 2.0": "Apache-2.0", "psf": "PSF-2.0", "odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0",
    "cc-by-2.0-fr": "CC-BY-2.0",
}  # fmt: skip


class LicencePolicy(StrEnum):
    """open: may be used for anything, changed and passed on. nc: also what forbids trade. any: everything, unknown as well."""

    OPEN = "open"
    NC = "nc"
    ANY = "any"


def named_policy(text: str) -> LicencePolicy:
    try:
        return LicencePolicy(text)
    except ValueError:
        raise UserError(f"licence policy {text!r} is unknown; allowed: {', '.join(LicencePolicy)}") from None


@lru_cache(maxsize=4096)
def why_refused(licence: str, policy: LicencePolicy) -> str | None:
    """ "licence:missing", "licence:unknown", "licence:nc" or "licence:closed"; None for a licence that the policy admits.

    Of "A OR B" one must be admitted, of "A AND B" both. "A/B", as many cards write it, says of each row that it has one of
    them and not which: so both must be admitted. No derivatives (ND) is closed: to clean a text is to change it.
    """
    if policy is LicencePolicy.ANY:
        return None
    parts = [part.strip() for part in re.split(r"[/,;]", licence) if part.strip()]
    reasons = [reason for part in parts if (reason := _reason(_parsed(part), policy))]
    return "licence:missing" if not parts else reasons[0] if reasons else None


def licence_reasons(licences: pl.Series, policy: LicencePolicy) -> pl.Series:
    """The reason for each row, or null; each distinct licence is read once."""
    reasons = {licence: why_refused(licence or "", policy) for licence in licences.unique()}
    return pl.Series([reasons[licence] for licence in licences], dtype=pl.String)


def _parsed(part: str) -> Any:
    """The expression as a tree; None for what cannot be read."""
    from license_expression import ExpressionError, ExpressionParseError

    try:
        return _licensing().parse(OTHER_WORDS.get(part.lower(), part))
    except (ExpressionError, ExpressionParseError):
        return None


def _reason(tree: Any, policy: LicencePolicy) -> str | None:
    if tree is None:
        return "licence:unknown"
    if tree.__class__.__name__ in ("AND", "OR"):
        reasons = [_reason(argument, policy) for argument in tree.args]
        refused = [reason for reason in reasons if reason]
        is_refused = len(refused) == len(reasons) if tree.__class__.__name__ == "OR" else bool(refused)
        return refused[0] if is_refused else None
    key = getattr(tree, "license_symbol", tree).key
    category = _categories().get(key.lower())
    if category is None:
        return "licence:unknown"
    if "-ND" in key.upper():
        return "licence:closed"
    if "-NC" in key.upper():
        return None if policy is LicencePolicy.NC else "licence:nc"
    return None if category in OPEN_CATEGORIES else "licence:closed"


@cache
def _licensing() -> Any:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


@cache
def _categories() -> dict[str, str]:
    from license_expression import get_license_index

    rows = [(row, [row.get("spdx_license_key"), *row.get("other_spdx_license_keys", ())]) for row in get_license_index()]
    return {key.lower(): row["category"] for row, keys in rows for key in keys if key}
