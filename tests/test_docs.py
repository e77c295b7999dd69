"""The front door is true: commands marked `test` in README.md run, and its lists are those of the code.

A fenced block whose info string ends in "test" is run in order in one folder, which holds `texts/` and `dialogues.jsonl` as README
describes them. `feilun` there is the command line with the cost of each training stage turned down; `fl-...` and port 8420 are
replaced by the key that was made and the port that is served.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from feilun.cli import build_parser
from feilun.config import ServeSettings
from feilun.serve.app import serving
from feilun.serve.chat_request import DONE, INERT, NO_OP

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "README.zh.md")
CHEAP = {
    "pretrain": ["depth=2", "budget_seconds=0", "num_steps=4", "compile=off"],
    "sft": ["num_steps=4", "compile=off"],
    "prefer": ["num_steps=2", "compile=off"],
}
LAUNCHER = f"""#!{sys.executable}
import sys
from feilun.cli import main
words = sys.argv[1:]
sys.exit(main(words + [part for item in {CHEAP!r}.get(words[0], []) for part in ("--set", item)]))
"""


class Block(NamedTuple):
    language: str
    text: str


def blocks(readme: str) -> list[Block]:
    text = (ROOT / readme).read_text(encoding="utf-8")
    return [Block(language, body) for language, body in re.findall(r"^```(\w+) test\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def write_inputs(folder: Path) -> None:
    (folder / "texts" / "信件").mkdir(parents=True)
    towns = {"龙井": "杭州", "普洱": "云南", "铁观音": "安溪"}
    for number in range(200):
        tea, town = list(towns.items())[number % 3]
        text = f"第{number}天，{town}寄来{tea}{number + 5}克。The shop on day {number} sold {number * 3 % 50} grams of it.\n"
        (folder / "texts" / "信件" / f"第{number}封.txt").write_text(text, encoding="utf-8")
    dialogues = [[("user", f"{tea}产自哪里?"), ("assistant", f"{tea}产自{town}。")] for tea, town in towns.items()]
    rows = [{"messages": [{"role": role, "content": text} for role, text in turns]} for turns in dialogues]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "dialogues.jsonl").write_text(lines, encoding="utf-8")


def run_shell(folder: Path, script: str) -> str:
    path, home = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", str(folder / "home")
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "FEILUN_HOME": home}
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(folder: Path, script: str, key: str) -> str:
    with serving(folder / "home", ServeSettings(port=0)) as address:
        wait_until_ready(address.url)
        assert "http://127.0.0.1:8420" in script
        text = script.replace("http://127.0.0.1:8420", address.url).replace("fl-...", key)
        done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_until_ready(url: str) -> None:
    for _ in range(600):
        if httpx.get(f"{url}/health").json()["status"] == "ok":
            return
        time.sleep(0.1)
    raise AssertionError("the champion was not loaded within a minute")


def test_marked_blocks_of_the_readme_run_in_order(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "feilun"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    write_inputs(tmp_path)
    found = blocks("README.md")
    assert [block.language for block in found] == ["sh", "python", "sh"]
    key = run_shell(tmp_path, found[0].text).splitlines()[-1]
    assert key.startswith("fl-")
    assert "'status': 'recorded'" in run_python(tmp_path, found[1].text, key)
    ending = run_shell(tmp_path, found[2].text)
    assert re.search(r"^champion +models/chat@\w+ \(epoch 3\)$", ending, re.MULTILINE), ending
    assert "1 current votes of 1 events" in ending


def test_marked_blocks_of_the_corpus_page_run_in_order(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin" / "feilun"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    write_inputs(tmp_path)
    labels = [
        {"text": f"{'说明茶叶的产地' if number % 3 else '点击领取红包'}，第{number}条。", "label": int(number % 3 > 0)}
        for number in range(300)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in labels)
    (tmp_path / "labels.jsonl").write_text(lines, encoding="utf-8")
    said = [run_shell(tmp_path, block.text) for block in blocks("docs/corpus.md")]
    assert re.search(r"^corpus/mine@\w+$", said[0], re.MULTILINE)
    page = (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert "<h2>Dropped, and why</h2>" in page
    assert (tmp_path / "raw").is_dir()


def verbs_of(parser: argparse.ArgumentParser, prefix: str = "") -> set[str]:
    """Every verb that help lists, groups unfolded; those that programs call have a hyphen."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        return {prefix.strip()}
    return {
        verb for group in groups for name, sub in group.choices.items() if "-" not in name for verb in verbs_of(sub, f"{prefix} {name}")
    }


@pytest.mark.parametrize(("readme", "heading"), [("README.md", "Verbs"), ("README.zh.md", "动词")])
def test_verbs_of_the_readme_are_those_of_the_command_line(readme: str, heading: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    section = re.search(rf"^## {heading}\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    table = "\n".join(line for line in section[1].splitlines() if line.startswith("|"))
    assert set(re.findall(r"`([^`]+)`", table)) == verbs_of(build_parser())


def test_both_readmes_show_the_same_commands() -> None:
    english, chinese = (blocks(readme) for readme in READMES)
    assert [without_comments(block) for block in english] == [without_comments(block) for block in chinese]


def without_comments(block: Block) -> str:
    return re.sub(r"  # .*", "", block.text)


@pytest.mark.parametrize("readme", [*READMES, "docs/api.md", "docs/corpus.md", "LOG.md"])
def test_files_that_a_page_links_to_are_there(readme: str) -> None:
    page = ROOT / readme
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_openai_fields_in_the_api_page_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (done|inert|refused)[^|]*\|(.*)\|$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    told = {kind: set(re.findall(r"`(\w+)`", fields)) for kind, fields in rows}
    assert told == {"done": set(DONE), "inert": set(INERT), "refused": set(NO_OP)}


def test_readme_is_short() -> None:
    assert all(len((ROOT / readme).read_text(encoding="utf-8").splitlines()) <= 150 for readme in READMES)
