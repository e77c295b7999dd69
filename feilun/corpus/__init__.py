"""Raw documents in, a clean corpus out: readers, repair, redaction, filters, duplicates, a fixed validation part, a report.

Names are bound on first use, so that a worker process can fix its thread count before polars is loaded.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feilun.corpus.build import build_corpus, build_from_documents
    from feilun.corpus.page import html_page
    from feilun.corpus.scorer import train_scorer
    from feilun.corpus.shards import read_documents
    from feilun.corpus.summary import report
    from feilun.corpus.undo import undo_corpus

__all__ = ["build_corpus", "build_from_documents", "html_page", "read_documents", "report", "train_scorer", "undo_corpus"]

_HOMES = {
    "build_corpus": "feilun.corpus.build",
    "build_from_documents": "feilun.corpus.build",
    "html_page": "feilun.corpus.page",
    "read_documents": "feilun.corpus.shards",
    "report": "feilun.corpus.summary",
    "train_scorer": "feilun.corpus.scorer",
    "undo_corpus": "feilun.corpus.undo",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
