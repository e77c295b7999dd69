"""Raw documents out of a clean corpus: every edit of the log undone, the encoding of a text file included."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from feilun.artifacts import Artifact
from feilun.corpus.dedup import text_digests
from feilun.corpus.edits import EDIT_SCHEMA, undo_edits
from feilun.corpus.shards import PARTS, read_document_frames, read_edits
from feilun.corpus.sources import kind_of
from feilun.types import UserError

__all__ = ["Restored", "restored_documents", "undo_corpus"]


class Restored(NamedTuple):
    """is_file: `data` is the bytes of a text file, or of a piece of one; else the text that a reader took out of a row or a page.

    num_withheld: changes that stay, because the log does not keep what a redaction hid.
    """

    id: str
    source: str
    data: bytes
    is_file: bool
    num_withheld: int


def restored_documents(artifact: Artifact, document: str | None = None) -> Iterator[Restored]:
    """Kept documents as they were read, part after part; one shard of texts is in memory at a time. document: only that id."""
    for part in PARTS:
        for frame in read_document_frames(artifact, part):
            chosen = frame if document is None else frame.filter(pl.col("id") == document)
            if not chosen.is_empty():
                yield from _of_frame(artifact, chosen)


def _of_frame(artifact: Artifact, frame: pl.DataFrame) -> Iterator[Restored]:
    rows = pl.DataFrame({"digest": text_digests(frame["text"]), "row": pl.arange(len(frame), eager=True, dtype=pl.UInt32)})
    found = pl.concat([edits.join(rows, on="digest", how="inner") for edits in read_edits(artifact)])
    encodings = dict(found.select("row", "encoding").iter_rows())
    undone = undo_edits(frame["text"], found.select(*EDIT_SCHEMA))
    for row, (ident, source) in enumerate(frame.select("id", "source").iter_rows()):
        is_file = kind_of(source) == "text" and (ident == source or ident.startswith(f"{source}#"))
        encoding = encodings.get(row, "utf-8") if is_file else "utf-8"
        yield Restored(ident, source, undone[row].text.encode(encoding), is_file, undone[row].num_withheld)


def undo_corpus(artifact: Artifact, out: Path, document: str | None = None) -> Counter[str]:
    """Write one document's bytes to the file `out`, or all documents below the folder `out`; what was written, counted.

    The folder holds documents.jsonl with a row a document, and files/ with the text files that the rows name.
    Raises UserError when `out` is there already, or when no document, or more than one, has the id.
    """
    if out.exists():
        raise UserError(f"{out} is there already; name a new file or folder")
    if document is None:
        return _write_all(artifact, out)
    found = list(restored_documents(artifact, document))
    if len(found) != 1:
        raise UserError(
            f"{len(found)} documents of corpus {artifact.ref} have the id {document!r}; allowed is an id that one has, or --all"
        )
    out.write_bytes(found[0].data)
    return _counted(found[0])


def _write_all(artifact: Artifact, out: Path) -> Counter[str]:
    (out / "files").mkdir(parents=True)
    counts: Counter[str] = Counter()
    with (out / "documents.jsonl").open("w", encoding="utf-8") as stream:
        for number, one in enumerate(restored_documents(artifact)):
            # Numbered, because an id may be any string, a path out of this folder included.
            row: dict[str, Any] = {"id": one.id, "source": one.source, "num_withheld": one.num_withheld}
            if one.is_file:
                row["file"] = f"files/{number:06d}.txt"
                (out / row["file"]).write_bytes(one.data)
            else:
                row["text"] = one.data.decode()
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            counts += _counted(one)
    return counts


def _counted(one: Restored) -> Counter[str]:
    return Counter({"files" if one.is_file else "texts": 1, "withheld": one.num_withheld})
