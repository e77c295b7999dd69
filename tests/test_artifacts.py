import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.artifacts import (
    MANIFEST,
    Artifact,
    _indented,
    draft,
    find,
    lineage,
    list_artifacts,
    open_directory,
    read_json,
    verify,
    write_json,
)
from feilun.types import UserError


def publish(
    home: Path, kind: str = "corpus", name: str = "a", text: str = "x", parents: tuple[str, ...] = (), **recipe: object
) -> Artifact:
    with draft(home, kind, name, parents=parents, recipe=recipe) as work:
        (work.path / "part").mkdir()
        (work.path / "part" / "text.txt").write_text(text, encoding="utf-8")
        work.counts["documents"] = 1
    assert work.artifact is not None
    return work.artifact


def leftovers(home: Path) -> list[str]:
    return sorted(p.name for p in home.glob("*/.*"))


def test_published_directories_are_whole(home):
    made = publish(home, seed=1)
    assert made.path == home / "corpus" / made.ref
    assert made.manifest["files"] == {"part/text.txt": hashlib.sha256(b"x").hexdigest()}
    assert (made.manifest["counts"], made.manifest["recipe"]) == ({"documents": 1}, {"seed": 1})
    assert (verify(made), leftovers(home)) == ([], [])
    assert open_directory(made.path) == made == find(home, made.ref)


def test_the_hash_follows_content_parents_and_recipe_alone(home, tmp_path):
    first = publish(home, name="a", seed=1)
    assert publish(tmp_path / "other", name="b", seed=1).hash == first.hash
    parent = f"corpus/{first.ref}"
    others = [
        publish(home, text="y", seed=1),
        publish(home, seed=2),
        publish(home, kind="lessons", seed=1),
        publish(home, parents=(parent,), seed=1),
    ]
    assert len({a.hash for a in (first, *others)}) == 5


def test_publishing_again_keeps_the_old_directory(home):
    first = publish(home)
    before = (first.path / MANIFEST).stat().st_ino
    assert publish(home).ref == first.ref
    assert (first.path / MANIFEST).stat().st_ino == before


def test_an_error_in_the_block_leaves_nothing(home):
    with pytest.raises(ZeroDivisionError), draft(home, "corpus", "a") as work:
        (work.path / "text.txt").write_text(str(1 / 0))
    assert list((home / "corpus").iterdir()) == []


def spoil_content(path: Path) -> None:
    (path / "part" / "text.txt").write_text("y")


def spoil_missing(path: Path) -> None:
    (path / "part" / "text.txt").unlink()


def spoil_added(path: Path) -> None:
    (path / "more.txt").write_text("z")


def spoil_nested(path: Path) -> None:
    (path / "part" / MANIFEST).write_text("{}")


def spoil_recipe(path: Path) -> None:
    manifest = read_json(path / MANIFEST)
    write_json(path / MANIFEST, {**manifest, "recipe": {"seed": 9}})


def spoil_stated(path: Path) -> None:
    spoil_content(path)
    manifest = read_json(path / MANIFEST)
    write_json(path / MANIFEST, {**manifest, "files": {"part/text.txt": hashlib.sha256(b"y").hexdigest()}})


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (spoil_content, "part/text.txt: content differs"),
        (spoil_missing, "part/text.txt: missing"),
        (spoil_added, "more.txt: not in the manifest"),
        (spoil_nested, f"part/{MANIFEST}: not in the manifest"),
        (spoil_recipe, "hash does not follow"),
        (spoil_stated, "hash does not follow"),
    ],
)
def test_tampering_is_found(home, spoil, fault):
    made = publish(home)
    spoil(made.path)
    faults = verify(open_directory(made.path))
    assert len(faults) == 1
    assert fault in faults[0]


def test_a_tombstone_keeps_hash_and_lineage_without_content(home):
    made = publish(home)
    (made.path / "part" / "text.txt").unlink()
    write_json(made.path / MANIFEST, {**made.manifest, "tombstone": {"why": "asked"}})
    assert verify(find(home, made.ref, erased_too=True)) == []
    with pytest.raises(UserError, match="was erased"):
        find(home, made.ref)


CRASH = """
import os, sys
from pathlib import Path
from feilun import artifacts
def die(path, value):
    os.kill(os.getpid(), 9)
artifacts.write_json = die
with artifacts.draft(Path(sys.argv[1]), "corpus", "a") as work:
    (work.path / "text.txt").write_text("x")
"""


def test_a_crash_before_the_manifest_publishes_nothing(home):
    done = subprocess.run([sys.executable, "-c", CRASH, str(home)], check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == -9
    assert len(leftovers(home)) == 1
    assert list_artifacts(home, "corpus") == []
    made = publish(home)
    assert find(home, "a").hash == made.hash


def test_a_directory_without_a_manifest_is_replaced(home, tmp_path):
    final = home / "corpus" / publish(tmp_path / "other").ref
    final.mkdir(parents=True)
    (final / "half.txt").write_text("h")
    with pytest.raises(UserError, match="left unfinished"):
        open_directory(final)
    assert verify(publish(home)) == []


class SlowCounts(dict[str, int]):
    """Counts that take so long to write that another publisher comes first."""

    def items(self):
        publish(self.home)
        return super().items()


def test_the_second_of_two_publishers_keeps_what_the_first_made(home):
    with draft(home, "corpus", "a", recipe={}) as work:
        (work.path / "part").mkdir()
        (work.path / "part" / "text.txt").write_text("x")
        work.counts = SlowCounts(documents=2)
        work.counts.home = home
    assert work.artifact is not None
    assert work.artifact.manifest["counts"] == {"documents": 1}
    assert (verify(work.artifact), leftovers(home)) == ([], [])


def publish_often(home: str, start: "multiprocessing.synchronize.Event", rounds: int) -> None:
    start.wait()
    for number in range(rounds):
        assert verify(publish(Path(home), text=str(number))) == []


def test_two_publishers_at_once_make_one_whole_artifact(home):
    context = multiprocessing.get_context("spawn")
    start, rounds = context.Event(), 25
    children = [context.Process(target=publish_often, args=(str(home), start, rounds)) for _ in range(2)]
    for child in children:
        child.start()
    start.set()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    made = list_artifacts(home, "corpus")
    assert len(made) == rounds
    assert [fault for a in made for fault in verify(a)] == []
    assert leftovers(home) == []


def test_a_ref_names_exactly_one(home):
    one, two, lesson = publish(home, text="1"), publish(home, text="2"), publish(home, kind="lessons", name="b")
    assert find(home, f"corpus/{one.ref}").hash == one.hash
    assert find(home, two.ref, "corpus").hash == two.hash
    assert find(home, "b").hash == lesson.hash
    with pytest.raises(UserError, match="borne by 2 artifacts") as several:
        find(home, "a")
    assert one.ref in str(several.value)
    assert two.ref in str(several.value)
    with pytest.raises(UserError, match=f"no artifact 'c'.*lessons/{lesson.ref}"):
        find(home, "c")
    with pytest.raises(UserError, match="no artifact 'b'"):
        find(home, "b", "corpus")
    with pytest.raises(UserError, match="no artifact 'a@0000'"):
        find(home, "a@0000")


def test_a_ref_in_an_empty_home(home):
    with pytest.raises(UserError, match="nothing yet"):
        find(home, "champion-of-nothing")


@pytest.mark.parametrize(
    ("kind", "name", "said"), [("weights", "a", "allowed: corpus"), ("corpus", "../a", "1-64 letters"), ("corpus", "", "1-64")]
)
def test_bad_kinds_and_names_are_errors(home, kind, name, said):
    with pytest.raises(UserError, match=said), draft(home, kind, name):
        pass
    assert list(home.iterdir()) == []


def test_lineage_names_everything_once_nearest_first(home):
    corpus = publish(home, name="c")
    up = (f"corpus/{corpus.ref}",)
    tokenizer = publish(home, kind="tokenizer", name="t", parents=up)
    model = publish(home, kind="models", name="m", parents=(f"tokenizer/{tokenizer.ref}", *up))
    assert [a.ref for a in lineage(home, model)] == [model.ref, tokenizer.ref, corpus.ref]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(JSON)
def test_json_is_written_as_the_slow_encoder_writes_it(value):
    assert _indented(value) == json.dumps(value, ensure_ascii=False, indent=1)


def test_write_json_is_never_seen_half_done(tmp_path):
    path, stop = tmp_path / "status.json", threading.Event()
    write_json(path, {"n": 0})

    def keep_writing() -> None:
        for number in range(200):
            write_json(path, {"n": number, "text": "飞轮" * 2_000})
        stop.set()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    while not stop.is_set():
        assert json.loads(path.read_text(encoding="utf-8"))["n"] >= 0
    writer.join()
    assert os.listdir(tmp_path) == ["status.json"]
