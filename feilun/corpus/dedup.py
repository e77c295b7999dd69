"""A document's identity is the hash of its repaired text: equal texts are one document, and the hash says which part it is in."""

import hashlib

import polars as pl

__all__ = ["DIGEST_BYTES", "SeenTexts", "in_validation", "text_digests"]

DIGEST_BYTES = 16


def text_digests(texts: pl.Series) -> pl.Series:
    """blake2b of each UTF-8 text, 16 bytes."""
    blake2b = hashlib.blake2b
    return pl.Series([blake2b(text, digest_size=DIGEST_BYTES).digest() for text in texts.cast(pl.Binary)], dtype=pl.Binary)


def in_validation(digest: bytes, fraction: float) -> bool:
    """Whether a text is in the validation part: by its own hash alone, so never by order or by what else is there."""
    return int.from_bytes(digest[:8], "big") < fraction * 2.0**64


class SeenTexts:
    """Exact duplicates over a whole build; the first copy wins. About 100 bytes of memory a document."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_new(self, digest: bytes) -> bool:
        before = len(self._seen)
        self._seen.add(digest)
        return len(self._seen) > before
