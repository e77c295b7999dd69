"""A judge of quality distilled from labels: hashed runs of one to three characters under a logistic regression, all in NumPy.

What a few thousand labels of a person or of a large model say is learnt once and asked of every document, a thousandth of a second
each. The head of a text is judged, as by every scorer of this kind (FineWeb-Edu, OpenCSG, CCI3-HQ).
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feilun.artifacts import Artifact, draft, find, write_json
from feilun.corpus.shingles import code_points, ngram_hashes
from feilun.types import UserError

__all__ = ["Scorer", "load_scorer", "train_scorer"]

HEAD_CHARS = 2000
RUN_CHARS = (1, 2, 3)
BITS = 18
WEIGHTS = "weights.npy"
REPORT = "report.json"
TEST_ONE_IN = 5
MIN_LABELS = 200
L2 = 1e-3
NUM_RESAMPLES = 400

Weights = NDArray[np.float64]


class Features(NamedTuple):
    """Runs of all texts: the place of the weight of each, and the text it stands in."""

    places: NDArray[np.int64]
    rows: NDArray[np.int64]
    num_rows: int


class Scorer(NamedTuple):
    weights: Weights

    def score(self, texts: pl.Series) -> NDArray[np.float64]:
        """The probability of each text of being good."""
        return _sigmoid(_logits(features_of(texts), self.weights))


class Labelled(NamedTuple):
    texts: pl.Series
    labels: NDArray[np.float64]


def features_of(texts: pl.Series) -> Features:
    points = code_points(texts.str.slice(0, HEAD_CHARS).str.to_lowercase().to_list())
    places, rows = [], []
    for n in RUN_CHARS:
        hashes = ngram_hashes(points, n)
        places.append((hashes.values >> np.uint64(64 - BITS)).astype(np.int64))
        rows.append(hashes.row_numbers())
    return Features(np.concatenate(places), np.concatenate(rows), len(texts))


def _scale(features: Features) -> Weights:
    """One over the root of the number of runs, so that a long head says no more than a short one."""
    return np.asarray(1 / np.sqrt(np.maximum(np.bincount(features.rows, minlength=features.num_rows), 1)))


def _logits(features: Features, weights: Weights) -> Weights:
    sums = np.bincount(features.rows, weights=weights[features.places], minlength=features.num_rows)
    return np.asarray(sums * _scale(features) + weights[-1])


def _sigmoid(logits: Weights) -> Weights:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -40, 40))))


def fitted(texts: pl.Series, labels: Weights) -> Scorer:
    """The least of the mean log loss and an L2 penalty; equal labels give equal weights."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    features = features_of(texts)
    scale = _scale(features)

    def loss(weights: Weights) -> tuple[float, Weights]:
        logits = _logits(features, weights)
        errors = (_sigmoid(logits) - labels) / len(labels)
        slope = np.zeros_like(weights)
        slope[:-1] = np.bincount(features.places, weights=(errors * scale)[features.rows], minlength=len(weights) - 1)
        slope[-1] = errors.sum()
        slope[:-1] += L2 * weights[:-1]
        value = np.logaddexp(0, np.where(labels > 0.5, -logits, logits)).mean() + L2 / 2 * (weights[:-1] ** 2).sum()
        return float(value), slope

    found = minimize(loss, np.zeros((1 << BITS) + 1), jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return Scorer(found.x)


def train_scorer(home: Path, name: str, labels: Path) -> Artifact:
    """A scorer of labelled texts (JSON lines: "text", "label" 0 or 1), published as home/scorers/name@hash.

    A fifth of the texts, by their hash, is never learnt from; the report is of these.
    """
    data = read_labels(labels)
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in data.texts]
    is_test = np.array([int.from_bytes(digest, "big") % TEST_ONE_IN == 0 for digest in digests])
    for part, chosen in (("test", is_test), ("training", ~is_test)):
        if len(set(data.labels[chosen].tolist())) < 2:
            raise UserError(f"{labels}: the {part} part of the labels holds one label only; give more of both")
    scorer = fitted(data.texts.filter(pl.Series(~is_test)), data.labels[~is_test])
    told = evaluation(scorer.score(data.texts.filter(pl.Series(is_test))), data.labels[is_test])
    told |= {"trained_on": int((~is_test).sum())}
    sha256 = hashlib.sha256(labels.read_bytes()).hexdigest()
    recipe = {"labels": {"name": labels.name, "sha256": sha256}, "bits": BITS, "runs": list(RUN_CHARS), "head_chars": HEAD_CHARS, "l2": L2}
    with draft(home, "scorers", name, recipe=recipe) as work:
        np.save(work.path / WEIGHTS, scorer.weights.astype(np.float32))
        write_json(work.path / REPORT, told)
        work.counts = told
    assert work.artifact is not None
    return work.artifact


def read_labels(path: Path) -> Labelled:
    texts, labels = [], []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the labels {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            row = _row_of(line)
            if row is None:
                raise UserError(f'{path}:{number}: {line[:80]!r} is no label; a line is {{"text": "...", "label": 0 or 1}}')
            texts.append(row[0])
            labels.append(row[1])
    if len(texts) < MIN_LABELS:
        raise UserError(f"{path} holds {len(texts)} labels; {MIN_LABELS} are the least, some thousands are better")
    return Labelled(pl.Series(texts, dtype=pl.String), np.array(labels))


def _row_of(line: str) -> tuple[str, float] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or row.get("label") not in (0, 1):
        return None
    return row["text"].encode(errors="replace").decode(), float(row["label"])


def evaluation(scores: Weights, labels: Weights) -> dict[str, Any]:
    """Of texts that were not learnt from: area under the curve with its 95 % interval, accuracy beside that of the commoner label."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(labels), len(labels)) for _ in range(NUM_RESAMPLES)]
    areas = [_area(scores[places], labels[places]) for places in drawn if 0 < labels[places].sum() < len(places)]
    low, high = np.quantile(areas, [0.025, 0.975])
    share = float(labels.mean())
    return {
        "tested_on": len(labels), "good_share": round(share, 4), "auc": round(_area(scores, labels), 4),
        "auc_95": [round(float(low), 4), round(float(high), 4)], "accuracy": round(float(((scores > 0.5) == (labels > 0.5)).mean()), 4),
        "accuracy_of_the_commoner_label": round(max(share, 1 - share), 4),
    }  # fmt: skip


def _area(scores: Weights, labels: Weights) -> float:
    """The chance that a good text is scored above a bad one, ties half."""
    _, ranks, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    num_good = labels.sum()
    return float((middle[ranks][labels > 0.5].sum() - num_good * (num_good + 1) / 2) / (num_good * (len(labels) - num_good)))


def load_scorer(home: Path, ref: str) -> Scorer | None:
    """The scorer that a corpus setting names; None for no name."""
    return _load(find(home, ref, "scorers").path) if ref else None


@lru_cache(maxsize=2)
def _load(path: Path) -> Scorer:
    return Scorer(np.load(path / WEIGHTS).astype(np.float64))
