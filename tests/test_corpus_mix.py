from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.artifacts import Artifact, find, lineage, verify
from feilun.cli import main
from feilun.config import CorpusSettings
from feilun.corpus import build_from_documents, read_documents, report
from feilun.corpus.mix import MixPart, MixSettings, mix_corpora, plan_shares
from feilun.types import Document, UserError


def corpus(home: Path, name: str, num_documents: int, *, validation: float = 0.1, chars: int = 60, prefix: str = "") -> Artifact:
    texts = [
        f"{prefix or name}文{i}：" + "".join(chr(0x4E00 + (i * 131 + k * 17 + len(name) * 977) % 20000) for k in range(chars))
        for i in range(num_documents)
    ]
    settings = CorpusSettings(validation_fraction=validation, workers=1, near_duplicates=False, shard_bytes=4000)
    return build_from_documents(home, name, [Document(id=f"{name}{i}", text=text, source=name) for i, text in enumerate(texts)], settings)


def mixed(home: Path, *parts: MixPart, **settings: object) -> Artifact:
    return mix_corpora(home, "m", parts, MixSettings(**settings))  # type: ignore[arg-type]


def num_bytes(artifact: Artifact) -> int:
    return sum(len(d.text.encode()) for d in read_documents(artifact))


def test_the_shares_are_those_wished_and_the_manifest_says_what_each_gave(home: Path) -> None:
    a, b = corpus(home, "a", 120), corpus(home, "b", 120)
    made = mixed(home, MixPart(ref="a", weight=3), MixPart(ref="b", weight=1))
    rows = {row["ref"]: row for row in made.manifest["counts"]["mix"]}
    assert rows[f"corpus/{a.ref}"]["share"] == pytest.approx(0.75, abs=0.01)
    assert rows[f"corpus/{a.ref}"]["epochs"] == 1
    assert rows[f"corpus/{b.ref}"]["bytes"] == sum(len(d.text.encode()) for d in read_documents(made) if d.source == "b")
    assert {row["why"] for row in rows.values()} == {""}
    assert {x.ref for x in lineage(home, made)} == {made.ref, a.ref, b.ref}
    assert verify(made) == []
    assert "train" in report(made)
    # Spread evenly: every quarter of the mix has its quarter of the smaller source.
    sources = [d.source for d in read_documents(made)]
    quarter = len(sources) // 4
    counts = [sources[i * quarter : (i + 1) * quarter].count("b") for i in range(4)]
    assert max(counts) - min(counts) <= 2


def test_equal_wishes_give_an_equal_artifact_and_another_seed_another_choice(home: Path) -> None:
    corpus(home, "a", 80), corpus(home, "b", 80)
    parts = (MixPart(ref="a", weight=1), MixPart(ref="b", weight=4))
    first, again, other = mixed(home, *parts), mixed(home, *parts), mixed(home, *parts, seed=1)
    assert first.ref == again.ref != other.ref
    chosen = [{d.text for d in read_documents(made) if d.source == "a"} for made in (first, other)]
    assert chosen[0] != chosen[1]
    assert len(chosen[0]) == pytest.approx(len(chosen[1]), abs=1)


def test_epochs_repeat_a_source_and_a_total_that_one_cannot_fill_is_filled_by_the_others(home: Path) -> None:
    a, b = corpus(home, "a", 40), corpus(home, "b", 200)
    size = num_bytes(a)
    made = mixed(home, MixPart(ref="a", weight=1, epochs=2), MixPart(ref="b", weight=1), total_bytes=6 * size)
    texts = [d.text for d in read_documents(made) if d.source == "a"]
    assert sorted(texts) == sorted([d.text for d in read_documents(a)] * 2)
    rows = {row["ref"].partition("@")[0]: row for row in made.manifest["counts"]["mix"]}
    assert rows["corpus/a"]["why"] == "no more text within its epochs"
    assert rows["corpus/b"]["why"] == "others give less than wished"
    assert rows["corpus/a"]["epochs"] == 2
    assert num_bytes(made) == pytest.approx(6 * size, rel=0.02)
    assert len({d.text for d in read_documents(made) if d.source == "b"}) < sum(1 for _ in read_documents(b))


def test_a_cap_holds_and_says_so(home: Path) -> None:
    corpus(home, "a", 100), corpus(home, "b", 100)
    made = mixed(home, MixPart(ref="a", weight=9, cap=0.5), MixPart(ref="b", weight=1))
    rows = made.manifest["counts"]["mix"]
    assert [row["share"] for row in rows] == pytest.approx([0.5, 0.5], abs=0.02)
    assert [row["why"] for row in rows] == ["cap", "others give less than wished"]


def test_no_text_that_one_source_holds_out_is_trained_on_for_another(home: Path) -> None:
    corpus(home, "a", 100, validation=0.5, prefix="x"), corpus(home, "b", 100, validation=0.1, prefix="x")
    shared = {d.text for d in read_documents(find(home, "a", "corpus"), "validation")} & {
        d.text for d in read_documents(find(home, "b", "corpus"))
    }
    made = mixed(home, MixPart(ref="a"), MixPart(ref="b"))
    held_out = [d.text for d in read_documents(made, "validation")]
    assert len(held_out) == len(set(held_out))
    assert shared <= set(held_out)
    assert not set(held_out) & {d.text for d in read_documents(made)}
    assert made.manifest["counts"]["mix"][1]["held_out_by_another"] == len(shared) > 0


def test_a_text_may_count_as_often_as_it_was_copied(home: Path) -> None:
    copies = ["这是一段被抄了很多次的文字，" * 6] * 3
    lone = [f"第{i}段各不相同的文字" + chr(0x4E00 + i * 53) * 50 for i in range(20)]
    documents = [Document(id=str(i), text=text + f"尾{i}") for i, text in enumerate([*copies, *lone])]
    build_from_documents(home, "c", documents, CorpusSettings(workers=1, validation_fraction=0.0))
    frame = pl.read_parquet(sorted(find(home, "c", "corpus").path.glob("train-*.parquet")))
    assert frame["cluster_size"].max() == 3
    made = mixed(home, MixPart(ref="c"), by_cluster_size=True)
    texts = [d.text for d in read_documents(made)]
    assert max(texts.count(text) for text in texts) == 3
    assert len(texts) == frame.height + 2


@given(
    st.lists(st.tuples(st.floats(0.01, 100), st.integers(1, 10**9), st.floats(0.1, 8), st.floats(0.2, 1)), min_size=1, max_size=6),
    st.integers(0, 10**9),
)
def test_a_plan_keeps_every_cap_and_limit_and_fills_the_total(rows: list[tuple[float, int, float, float]], total: int) -> None:
    parts = [MixPart(ref=str(i), weight=w, epochs=e, cap=c) for i, (w, _, e, c) in enumerate(rows)]
    sizes = [size for _, size, _, _ in rows]
    try:
        shares = plan_shares(parts, sizes, total)
    except UserError as error:
        assert "cannot be had" in str(error) or "caps add up" in str(error)  # noqa: PT017
        return
    whole = sum(share.given for share in shares)
    assert whole == pytest.approx(total, rel=1e-6) if total else whole > 0
    for part, size, share in zip(parts, sizes, shares, strict=True):
        assert share.given <= part.epochs * size * (1 + 1e-6)
        assert share.given <= part.cap * whole * (1 + 1e-6)
        assert bool(share.why) == (abs(share.given - share.wanted) > 1e-6 * max(share.wanted, 1))


@pytest.mark.parametrize(
    ("parts", "total", "message"),
    [
        ([], 0, "needs a source"), ([MixPart(ref="a", weight=-1)], 0, "allowed: weight >= 0"),
        ([MixPart(ref="a", weight=1), MixPart(ref="b")], 0, "some have none"),
        ([MixPart(ref="a", cap=0.5)], 0, "caps add up to 50%"), ([MixPart(ref="a")], 10**9, "1,000.0 MB cannot be had"),
        ([MixPart(ref="a"), MixPart(ref="a")], 0, "named twice"),
        ([MixPart(ref="zzz")], 0, "no artifact 'zzz'"), ([MixPart(ref="a", epochs=0)], 0, "epochs > 0"),
        ([MixPart(ref="a")], -1, "total_bytes >= 0"),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_met_are_errors(home: Path, parts: list[MixPart], total: int, message: str) -> None:
    corpus(home, "a", 10), corpus(home, "b", 10)
    with pytest.raises(UserError, match=message):
        mixed(home, *parts, total_bytes=total)


def test_the_verb_mixes_and_says_what_each_source_gave(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = corpus(home, "a", 60)
    corpus(home, "b", 60)
    verb = ["--home", str(home), "corpus", "mix", "m", "--from", f"a@{a.hash}=3", "--from", "b=1"]
    assert main([*verb, "--epochs", "b=2", "--cap", f"a@{a.hash}=0.6", "--set", "seed=7"]) == 0
    out = capsys.readouterr().out
    assert f"corpus/{a.ref}" in out
    assert "cap" in out
    assert out.splitlines()[-1] == f"corpus/{find(home, 'm').ref}"
    for wrong, message in (
        (["--cap", "c=0.5"], "which no --from names"),
        (["--epochs", "b=no"], "needs a number above 0"),
        (["--from", "b=2"], "names a corpus twice"),
    ):
        assert main([*verb, *wrong]) != 0
        assert message in capsys.readouterr().err
