"""Raw documents in, a clean corpus out: readers, repair, filters, exact duplicates, a fixed validation part, a report.

Names are bound on first use, so that a worker process can fix its thread count before polars is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feilun.corpus.build import build_corpus, build_from_documents
    from feilun.corpus.shards import read_documents
    from feilun.corpus.summary import report
    from feilun.corpus.undo import undo_corpus

__all__ = ["build_corpus", "build_from_documents", "read_documents", "report", "undo_corpus"]

_HOMES = {
    "build_corpus": "feilun.corpus.build",
    "build_from_documents": "feilun.corpus.build",
    "read_documents": "feilun.corpus.shards",
    "report": "feilun.corpus.summary",
    "undo_corpus": "feilun.corpus.undo",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
