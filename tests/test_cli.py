"""The command line: what a person types wrong is said in one line; what works alone works alone."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from serve_house import until

from feilun.artifacts import draft, find
from feilun.cli import main
from feilun.store import Store

ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1"}


def run(home: Path, *arguments: str) -> int:
    return main(["--home", str(home), *arguments])


def refused(capsys: pytest.CaptureFixture[str], home: Path, *arguments: str, status: int = 2) -> str:
    """What is said of a bad command: one line, no traceback."""
    assert run(home, *arguments) == status
    said = capsys.readouterr().err
    assert said.startswith("feilun: ")
    assert said.count("\n") == 1
    return said


def start(home: Path, *arguments: str, **options: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "feilun.cli", "--home", str(home), *arguments], env=ENVIRONMENT, **options)


LOOKING = tuple(
    line.split()
    for line in (
        "status", "show champion", "verify", "exam run champion", "exam compare a b", "chat", "turn", "rollback", "promote a",
        "forget owner", "key list", "key revoke a", "feedback build a", "feedback export a.jsonl", "corpus report a",
        "corpus undo a --all out",
        "tokenizer train a --corpus b", "pretrain", "sft", "prefer",
    )
)  # fmt: skip


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_where_there_is_no_home_none_is_made(arguments, tmp_path, capsys):
    assert "there is no home" in refused(capsys, tmp_path / "nothing", *arguments)
    assert not (tmp_path / "nothing").exists()


UNKNOWN = {
    "show nothing@0": "no artifact 'nothing@0'", "show champion": "no champion yet", "show candidate": "no candidate yet",
    "exam run nothing": "no artifact", "exam run champion": "no champion yet", "chat nothing": "no artifact",
    "promote nothing": "no artifact", "turn": "no champion", "rollback": "no champion to roll back from",
    "turn --abandon why": "nothing to abandon", "turn-step 1 collect": "1", "key revoke nobody": "nobody",
    "key create bad/name": "bad/name", "key create k --scope root": "root", "corpus build c nowhere.txt": "nowhere.txt",
    "corpus build c/d nowhere.txt": "", "tokenizer train t --corpus nothing": "no artifact", "pretrain": "corpus",
    "pretrain no-such-recipe": "built in", "demo --recipe nowhere.py": "nowhere.py", "demo --text nowhere": "no such file or folder",
    "demo-stage corpus": "holds no demo", "feedback import l nowhere.jsonl": "no such file", "exam run a --task flying": "",
}  # fmt: skip


@pytest.mark.parametrize("line", UNKNOWN)
def test_unknown_names(line, home, capsys):
    assert UNKNOWN[line] in refused(capsys, home, *line.split())


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("depth", "has no '='"), ("dept=4", "did you mean 'depth'?"), ("depth=four", "not a whole number"),
        ("optimiser=x", "holds a group"),
        ("optimiser.matrix_rl=1", "did you mean 'matrix_lr'?"), ("depth.x=1", "no fields of its own"),
    ],
)  # fmt: skip
def test_settings(assignment, said, home, capsys):
    assert said in refused(capsys, home, "pretrain", "--set", assignment)


def test_usage_errors_are_two(home, capsys):
    for arguments in ([], ["fly"], ["exam"], ["demo", "--seed", "x"], ["demo", "--control", "x"]):
        with pytest.raises(SystemExit) as ended:
            main(["--home", str(home), *arguments])
        assert ended.value.code == 2
        assert "usage: feilun" in capsys.readouterr().err


def test_help_lists_the_verbs_of_people(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(f"\n    {verb} " in said for verb in ("demo", "corpus", "pretrain", "turn", "status", "forget"))
    assert "with-parent" not in said
    assert "\n    turn-step" not in said


def test_the_home_is_named_by_flag_by_environment_or_by_default(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEILUN_HOME", str(tmp_path / "named"))
    assert main(["status"]) == 2
    assert f"{tmp_path}/named" in capsys.readouterr().err
    monkeypatch.delenv("FEILUN_HOME")
    assert main(["status"]) == 2
    assert f"{tmp_path}/feilun-data" in capsys.readouterr().err


def test_a_home_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "no home" in refused(capsys, tmp_path / "file", "status")
    assert "the system says" in refused(capsys, tmp_path / "file", "key", "create", "a", status=1)


def test_an_empty_home(home, capsys):
    assert run(home, "status") == 0
    assert "nothing is made yet" in capsys.readouterr().out
    assert run(home, "verify") == 0
    assert "0 artifacts are whole" in capsys.readouterr().out
    assert run(home, "key", "list") == 0


def test_a_damaged_artifact_is_named(home, capsys):
    with draft(home, "lessons", "l") as work:
        (work.path / "sft.jsonl").write_text("{}\n")
    (work.artifact.path / "sft.jsonl").write_text("[]\n")
    assert run(home, "verify") == 1
    assert "sft.jsonl: content differs" in capsys.readouterr().out
    (work.artifact.path / "manifest.json").write_text("{")
    assert "manifest.json is broken" in refused(capsys, home, "status")


def test_keys(home, capsys):
    assert run(home, "key", "create", "app", "--scope", "chat") == 0
    secret = capsys.readouterr().out.strip()
    with Store.open(home) as store:
        assert store.find_key(secret).scopes == {"chat"}
    assert "app" in refused(capsys, home, "key", "create", "app")
    assert run(home, "key", "revoke", "app") == 0
    with Store.open(home) as store:
        assert store.find_key(secret) is None


def test_forget_somebody_unknown(home, capsys):
    assert run(home, "forget", "user:42") == 0
    assert "0 events and 0 answers of nobody are empty now" in capsys.readouterr().out


# lessons from files

DIALOGUE = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: "), ("[]", "found list"), ('"text"', "found str"), ('{"message": []}', "found message"),
        ('{"messages": []}', "non-empty list"),
        ('{"messages": ["x"]}', "line 2"), ('{"messages": [{"role": "robot", "content": "x"}]}', "'robot' is unknown"),
        ('{"messages": [{"role": "user", "content": 3}]}', "content must be"), ('{"messages": [{"role": "user"}]}', "content must be"),
        (json.dumps({**DIALOGUE, "weight": "heavy"}), "weight 'heavy'"), (json.dumps({**DIALOGUE, "weight": -1}), "weight -1"),
        (json.dumps({**DIALOGUE, "weight": True}), "weight True"), (json.dumps({**DIALOGUE, "weight": float("nan")}), "weight nan"),
    ],
)  # fmt: skip
def test_import_names_the_line(line, said, home, capsys):
    file = home / "lessons.jsonl"
    file.write_text(f"{json.dumps(DIALOGUE)}\n{line}\n", encoding="utf-8")
    message = refused(capsys, home, "feedback", "import", "l", str(file))
    assert f"{file}, line 2: " in message
    assert said in message
    assert not list((home / "lessons").glob("*"))


def test_import_of_files_that_are_none(home, capsys):
    for name, data, said in (
        ("a.jsonl", json.dumps(DIALOGUE).encode() + "\n中文".encode("gbk"), "is not UTF-8"), ("a.txt", b"", "allowed are .jsonl"),
        ("b.jsonl", b"\n \n", "no row holds"), ("c.jsonl.zst", b"no zstd", "no whole zstd file"),
        ("d.jsonl", json.dumps({"messages": [{"role": "user", "content": "hm"}]}).encode(), "no row holds"),
    ):  # fmt: skip
        (home / name).write_bytes(data)
        assert said in refused(capsys, home, "feedback", "import", "l", str(home / name))


def test_import_keeps_what_it_is_given(home, capsys):
    odd = {
        "messages": [{"role": "user", "content": "line\u2028end"}, {"role": "assistant", "content": "ok"}],
        "weight": 0.5,
        "source": "us",
    }
    mute = {"messages": [{"role": "user", "content": "hm"}]}
    text = "\ufeff" + "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in (DIALOGUE, odd, mute))
    (home / "in.jsonl.zst").write_bytes(zstandard.compress(text.encode()) + zstandard.compress(json.dumps(DIALOGUE).encode()))
    assert run(home, "feedback", "import", "l", str(home / "in.jsonl.zst")) == 0
    assert "'rows': 3, 'dropped_no_answer': 1" in capsys.readouterr().out
    rows = [json.loads(line) for line in (find(home, "l").path / "sft.jsonl").read_text(encoding="utf-8").split("\n") if line]
    assert rows[1] == {**odd, "kind": "imported"}
    assert [row["weight"] for row in rows] == [1.0, 0.5, 1.0]


# signals, pipes


def test_a_reader_that_leaves_early(home):
    with draft(home, "lessons", "l") as work:
        work.counts = {f"key {number}": "x" * 100 for number in range(5000)}
        (work.path / "sft.jsonl").write_text("")
    child = start(home, "show", "l", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout.readline().startswith(b"lessons/l@")
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 1
    assert said == b""


def test_ctrl_c_is_130_and_one_line(home):
    child = start(home, "serve", "--port", "0", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with child:
        assert child.stdout.readline().startswith(b"http://127.0.0.1:")
        child.send_signal(signal.SIGINT)
        said = child.stderr.read().decode()
        child.wait()
    assert child.returncode in (0, 130)
    assert "Traceback" not in said


def test_ctrl_c_in_a_verb_is_130(home, monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("feilun.status.describe_home", interrupted)
    assert run(home, "status") == 130
    assert "the same command goes on from here" in capsys.readouterr().err


def test_a_full_disk_is_said(home, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr("feilun.status.describe_home", full)
    assert "No space left on device: /somewhere" in refused(capsys, home, "status", status=1)


def test_a_child_ends_with_its_parent(home):
    child = start(home, "--with-parent", "serve", "--no-watch", "--port", "0", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        assert child.stdout.readline().startswith(b"http")
        child.stdin.close()
        child.wait()


# chat


def test_chat_reads_a_pipe(home, monkeypatch, capsys):
    build_model(home)
    monkeypatch.setattr(sys, "stdin", io.StringIO("你好\nagain\n\nnot read\n"))
    assert run(home, "chat", "talker", "--max-tokens", "4") == 0
    said = capsys.readouterr()
    assert said.out.count("\n") >= 2
    assert "an empty line ends the chat" in said.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("长" * 60 + "\nshort\n"))
    assert run(home, "chat", "talker", "--max-tokens", "40") == 0
    assert "forgotten" in capsys.readouterr().err


def test_chat_of_bytes_that_are_no_text(home, monkeypatch, capsys):
    build_model(home)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("你好\n".encode("gbk")), encoding="utf-8"))
    assert run(home, "chat", "talker") == 2
    assert "not UTF-8" in capsys.readouterr().err


def build_model(home: Path) -> None:
    import torch

    from feilun.config import ModelShape, TokenizerSettings
    from feilun.model.checkpoint import save_model
    from feilun.model.transformer import Transformer
    from feilun.tokenizer import Tokenizer

    shape = {"width": 64, "num_layers": 1, "num_heads": 2, "num_kv_heads": 1, "head_dim": 32, "ffn_width": 64, "max_tokens": 256}
    model = Transformer(ModelShape(vocab_size=320, **shape), torch.float32)
    model.initialise(torch.Generator().manual_seed(0))
    with draft(home, "models", "talker") as work:
        save_model(work.path, model, Tokenizer.train(["a"], TokenizerSettings(vocab_size=320, num_reserved=8)), chat=True)


# turns on request


def test_a_turn_without_a_recipe_is_the_one_that_was_left_in_the_home(home, capsys):
    from feilun.config import PreferSettings, TurnSettings, resolved
    from feilun.turn import leave_settings

    with Store.open(home) as store:
        store.set_champion("models/a@1", "")
        leave_settings(store, TurnSettings(rise_task="taught", exam_tasks=(), prefer=PreferSettings(replay="examples")))
    assert run(home, "turn", "--dry-run", "--set", "min_taught=0.8") == 0
    assert "80% of your corrections" in capsys.readouterr().out
    assert run(home, "turn", "demo", "--dry-run", "--set", "prefer.replay=examples") == 0
    assert "number_hard or another task must rise" in capsys.readouterr().out
    with Store.open(home) as store:
        settings = resolved(TurnSettings(rise_task="copying"))
        gate = {"must_rise": "copying", "max_fall": 0.05}
        store.start_turn({"name": "turn-1", "settings": settings, "champion": {"model": "models/a@1"}, "gate": gate})
    assert run(home, "turn", "--dry-run") == 0
    assert "copying must rise" in capsys.readouterr().out


def test_serving_has_a_watcher_and_ends_with_it(home):
    child = start(home, "--with-parent", "serve", "--port", "0", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child, Store.open(home) as store:
        assert child.stdout.readline().startswith(b"http")
        until(lambda: store.read_note("turn_watch"), 60)  # two processes start, on a machine that may have other work
        watcher = store.read_note("turn_watch")["pid"]
        assert watcher != child.pid
        child.stdin.close()
        child.wait()
        until(lambda: not is_alive(watcher))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
