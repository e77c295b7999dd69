import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.artifacts import Artifact
from feilun.config import CorpusSettings
from feilun.corpus import build_from_documents, minhash, read_documents
from feilun.corpus.dedup import exact_copies, first_of_equal
from feilun.corpus.shards import read_dropped
from feilun.corpus.shingles import Hashes, Rows, code_points, folded_letters, ngram_hashes
from feilun.types import Document

texts_of_any_kind = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("天地玄黄a b,。\n𠀀"), max_size=40), max_size=6
)


def jaccard(one: str, other: str) -> float:
    sets = []
    for text in (one, other):
        letters = "".join(c.lower() for c in text if c.isalnum())
        sets.append({letters[i : i + 5] for i in range(len(letters) - 4)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def prose(rng: random.Random, num_chars: int) -> str:
    return "".join(chr(rng.randrange(0x4E00, 0x6E00)) if rng.random() < 0.9 else "，" for _ in range(num_chars))


def changed(rng: random.Random, text: str, num_changes: int) -> str:
    characters = list(text)
    for place in rng.sample(range(len(text)), num_changes):
        characters[place] = chr(rng.randrange(0x7000, 0x8000))
    return "".join(characters)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(texts_of_any_kind, st.integers(1, 6))
def test_hashes_of_runs_are_those_of_each_text_alone(texts: list[str], n: int) -> None:
    points = code_points(texts)
    hashes = ngram_hashes(points, n)
    runs = [[text[i : i + n] for i in range(len(text) - n + 1)] for text in texts]
    assert hashes.lengths().tolist() == [len(r) for r in runs]
    by_run: dict[str, set[int]] = {}
    for run, value in zip([r for row in runs for r in row], hashes.values.tolist(), strict=True):
        by_run.setdefault(run, set()).add(value)
    assert all(len(values) == 1 for values in by_run.values())
    assert len({value for values in by_run.values() for value in values}) == len(by_run)


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(texts_of_any_kind)
def test_folded_letters_keep_letters_and_digits_of_each_text(texts: list[str]) -> None:
    letters = folded_letters(code_points(texts))
    kept = [letters.values[a:b].tobytes().decode("utf-32-le") for a, b in zip(letters.offsets[:-1], letters.offsets[1:], strict=True)]
    assert [basic(text) for text in kept] == [folded(text) for text in texts]


def basic(text: str) -> str:
    return "".join(c for c in text if ord(c) < 0x10000)


def folded(text: str) -> str:
    letters = [c for c in basic(text) if c.isalpha() or c.isnumeric()]
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in letters)


def test_slots_of_a_text_are_the_least_of_those_of_its_runs() -> None:
    """No run is left out, as sampling sketches do: rensa promises no formula to compare with, but this each MinHash keeps."""
    rng = random.Random(0)
    texts = [prose(rng, rng.randrange(5, 400)) for _ in range(40)] + ["", "天地", "English words, too, are runs of characters."]
    shingles = ngram_hashes(folded_letters(code_points(texts)), minhash.NGRAM_CHARS)
    alone = minhash.slots_of(Rows(shingles.values, np.arange(len(shingles.values) + 1)))
    pieces = [alone[a:b] for a, b in zip(shingles.offsets[:-1], shingles.offsets[1:], strict=True)]
    least = np.array([piece.min(axis=0, initial=2**32 - 1) for piece in pieces], dtype=np.uint32)
    assert np.array_equal(minhash.slots_of(shingles), least)


def test_signatures_are_of_the_runs_within_each_text() -> None:
    rng = random.Random(3)
    texts = [prose(rng, rng.randrange(0, 120)) for _ in range(60)] + ["", "短", prose(rng, 60), ""]
    letters = folded_letters(code_points(texts))
    signed, runs = minhash.signatures(letters), ngram_hashes(letters, minhash.NGRAM_CHARS)
    assert signed.is_signed.tolist() == (runs.lengths() >= minhash.MIN_SHINGLES).tolist()
    assert 0 < signed.is_signed.sum() < len(texts)
    assert np.array_equal(signed.sketch[signed.is_signed], minhash.slots_of(runs).astype(np.uint8)[signed.is_signed])
    assert not signed.sketch[~signed.is_signed].any()


def slots_by_numpy(shingles: Hashes) -> np.ndarray:
    """A MinHash of our own: the least of (a h + b) mod 2^64, its upper half."""
    rng = np.random.default_rng(7)
    a, b = (rng.integers(0, 2**64, (2, minhash.NUM_SLOTS, 1), dtype=np.uint64)) | np.uint64(1)
    pieces = [shingles.values[start:end] for start, end in zip(shingles.offsets[:-1], shingles.offsets[1:], strict=True)]
    return np.array([((a * piece + b) >> np.uint64(32)).min(axis=1, initial=2**32 - 1) for piece in pieces], dtype=np.uint32)


def test_estimates_are_those_of_a_plain_minhash_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    originals = [prose(rng, 600) for _ in range(150)]
    copies = [changed(rng, text, place % 40) for place, text in enumerate(originals)]
    exact = np.array([jaccard(a, b) for a, b in zip(originals, copies, strict=True)])
    for slots_of in (minhash.slots_of, slots_by_numpy):
        monkeypatch.setattr(minhash, "slots_of", slots_of)
        left, right = (minhash.signatures(folded_letters(code_points(texts))).sketch for texts in (originals, copies))
        errors = minhash.similarity(left, right) - exact
        assert abs(errors.mean()) < 0.01
        assert errors.std() < 0.047


def build(home: Path, texts: list[str], **changes: object) -> Artifact:
    documents = [Document(id=str(i), text=text, source="s", license="CC0") for i, text in enumerate(texts)]
    return build_from_documents(home, "c", documents, CorpusSettings(validation_fraction=0.0, **changes))  # type: ignore[arg-type]


def test_the_longest_of_near_copies_stays_with_the_size_of_its_group(tmp_path: Path) -> None:
    rng = random.Random(2)
    first, second = prose(rng, 800), prose(rng, 800)
    near = [first, changed(rng, first, 4), changed(rng, first, 5) + "又添了一句话。", changed(rng, first, 3)]
    artifact = build(tmp_path, [*near, second, near[0], "short text, and not a copy of anything"])
    kept = pl.read_parquet(artifact.path / "train-00000.parquet")
    assert dict(zip(kept["id"], kept["cluster_size"], strict=True)) == {"2": 5, "4": 1, "6": 1}
    reasons = {row["id"]: row["reason"] for row in read_dropped(artifact)}
    assert reasons == {"0": "near_duplicate", "1": "near_duplicate", "3": "near_duplicate", "5": "exact_duplicate"}
    assert artifact.manifest["recipe"]["minhash"]["rensa"] >= 2
    assert len(list(read_documents(build(tmp_path, [*near, second], near_duplicates=False)))) == 5


def test_near_copies_are_found_by_similarity_and_others_left(tmp_path: Path) -> None:
    rng = random.Random(3)
    originals = [prose(rng, 500) for _ in range(240)]
    copies = [changed(rng, text, (1, 6, 60)[place % 3]) for place, text in enumerate(originals)]
    likeness = [jaccard(a, b) for a, b in zip(originals, copies, strict=True)]
    kept = {d.id for d in read_documents(build(tmp_path, originals + copies))}
    lost = [not {str(i), str(i + 240)} <= kept for i in range(240)]
    assert all(was for was, j in zip(lost, likeness, strict=True) if j >= 0.9)
    assert not any(was for was, j in zip(lost, likeness, strict=True) if j < 0.5)
    assert all({str(i), str(i + 240)} & kept for i in range(240))


def test_what_stays_of_a_group_does_not_follow_the_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(4)
    texts = [changed(rng, text, n) for text in (prose(rng, 400) for _ in range(30)) for n in range(4)]
    rng.shuffle(texts)
    one = build(tmp_path / "one", texts)
    monkeypatch.setattr("feilun.corpus.blocks.BLOCK_ROWS", 7)
    assert build(tmp_path / "other", texts).hash == one.hash


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b""]), st.booleans()), min_size=1, max_size=30))
def test_the_first_of_equal_candidates_stays(rows: list[tuple[bytes, bool]]) -> None:
    values = pl.Series([value for value, _ in rows], dtype=pl.Binary)
    is_candidate = np.array([chosen for _, chosen in rows])
    copies = exact_copies(values, is_candidate)
    for place, (value, chosen) in enumerate(rows):
        equal = [i for i, other in enumerate(rows) if other == (value, True)]
        assert copies.kept_by[place] == (equal[0] if chosen else place)
        assert copies.cluster_size[place] == ((len(equal) if equal[0] == place else 0) if chosen else 1)
    assert first_of_equal(values).tolist() == [values.to_list().index(v) for v in values]
