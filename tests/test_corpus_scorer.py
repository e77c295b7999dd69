import json
import random
from pathlib import Path

import numpy as np
import pytest

from feilun.config import CorpusSettings
from feilun.corpus import build_from_documents, read_documents, train_scorer
from feilun.corpus.scorer import _area, load_scorer, read_labels
from feilun.corpus.shards import read_dropped
from feilun.types import Document, UserError

GOOD, BAD = "天地玄黄宇宙洪荒日月盈昃辰宿列张", "点击领取优惠红包加群返利代开发票"


def texts(num: int, seed: int) -> list[tuple[str, int]]:
    rng = random.Random(seed)
    rows = []
    for number in range(num):
        label = number % 2
        words = [rng.choice((GOOD if label else BAD) if rng.random() < 0.4 else GOOD + BAD) for _ in range(60)]
        rows.append(("".join(words), label))
    return rows


def write_labels(path: Path, num: int = 400) -> Path:
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts(num, 0))
    path.write_text(lines, encoding="utf-8")
    return path


def test_a_scorer_tells_good_from_bad_on_what_it_never_saw(home: Path, tmp_path: Path) -> None:
    made = train_scorer(home, "taste", write_labels(tmp_path / "l.jsonl"))
    told = made.manifest["counts"]
    assert told["auc"] > 0.9
    assert told["auc_95"][0] <= told["auc"] <= told["auc_95"][1]
    assert told["tested_on"] + told["trained_on"] == 400
    assert train_scorer(home, "taste", tmp_path / "l.jsonl").hash == made.hash
    documents = [Document(id=f"{label}-{i}", text=text, source="s", license="") for i, (text, label) in enumerate(texts(60, 1))]
    settings = CorpusSettings(filters=False, near_duplicates=False, validation_fraction=0.0, scorer="taste", min_quality=0.5)
    corpus = build_from_documents(home, "c", documents, settings)
    kept = [d.id[0] for d in read_documents(corpus)]
    assert kept.count("1") > 24 > 6 > kept.count("0")
    assert {row["reason"] for row in read_dropped(corpus)} == {"low_quality"}
    assert corpus.parents == (f"scorers/{made.ref}",)
    assert corpus.manifest["recipe"]["settings"]["scorer"] == made.ref


def test_labels_without_a_meaning_score_as_a_guess(home: Path, tmp_path: Path) -> None:
    rng = random.Random(2)
    lines = "".join(json.dumps({"text": text, "label": rng.randrange(2)}) + "\n" for text, _ in texts(400, 3))
    (tmp_path / "l.jsonl").write_text(lines, encoding="utf-8")
    low, high = train_scorer(home, "noise", tmp_path / "l.jsonl").manifest["counts"]["auc_95"]
    assert low < 0.5 < high or abs((low + high) / 2 - 0.5) < 0.15


def test_the_area_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 6, 40) / 6, rng.integers(0, 2, 40).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in scores[labels == 1] for b in scores[labels == 0]]
    assert _area(scores, labels) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize(("line", "told"), [('{"text": "a"}', "l.jsonl:1"), ('{"text": "a", "label": 2}', "0 or 1"), ("x", "is no label")])
def test_a_line_that_is_no_label_is_named(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "l.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=told):
        read_labels(tmp_path / "l.jsonl")


def test_too_few_labels_or_one_kind_are_errors(home: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="200 are the least"):
        read_labels(write_labels(tmp_path / "few.jsonl", 20))
    lines = "".join(json.dumps({"text": text, "label": 1}) + "\n" for text, _ in texts(300, 4))
    (tmp_path / "one.jsonl").write_text(lines, encoding="utf-8")
    with pytest.raises(UserError, match="one label only"):
        train_scorer(home, "one", tmp_path / "one.jsonl")
    assert load_scorer(home, "") is None
