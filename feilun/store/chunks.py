"""Many values in several statements: SQLite takes only so many in one."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
IN_CHUNK = 500


def in_chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """`values` in their order, at most IN_CHUNK at a time."""
    rest = iter(values)
    while some := list(islice(rest, IN_CHUNK)):
        yield some
