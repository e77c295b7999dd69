import codecs
import json
from pathlib import Path

import pytest

from feilun.artifacts import Artifact
from feilun.cli import main
from feilun.config import CorpusSettings
from feilun.corpus import build_corpus, undo_corpus
from feilun.corpus.undo import restored_documents
from feilun.types import UserError

CHINESE = "　　今天下午我们去公园散步,看见了许多人。  \r\n第二天又下雨了,大家都留在家里读书;真的吗?\r\n\r\n"
TRADITIONAL = "今天下午我們去公園散步，看見了許多人。\r\n第二天又下雨了，大家都留在家裡讀書，還說了很多話。\n\n"
CLEAN = "这是一句不用修的话，我们大家都在这里说了又说，看了又看。"
FILES = {
    "plain.txt": CHINESE.encode(), "clean.md": CLEAN.encode(), "marked.txt": codecs.BOM_UTF8 + f"甲{CHINESE}".encode(),
    "gb.txt": f"乙{CHINESE}".encode("gb18030"), "clean_gb.txt": f"丙{CLEAN}".encode("gb18030"),
    "big5.txt": (TRADITIONAL * 3).encode("big5hkscs"),
    "little.txt": codecs.BOM_UTF16_LE + f"丁{CHINESE}".encode("utf-16-le"),
    "big.txt": codecs.BOM_UTF16_BE + f"戊{CHINESE}".encode("utf-16-be"),
}  # fmt: skip
SETTINGS = CorpusSettings(min_chars=5, validation_fraction=0.4, workers=1, near_duplicates=False)
ROWS = [{"id": "../../r1", "text": "行里的文字\u200b,在这里;\r\n读作:数据  \n"}, {"id": "r2", "text": "没有要修的一行文字，在这里"}]


@pytest.fixture
def corpus(tmp_path: Path) -> Artifact:
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return build_corpus(tmp_path / "home", "c", [folder], SETTINGS)


def test_every_text_file_comes_back_to_its_last_byte(corpus: Artifact, tmp_path: Path) -> None:
    counts = undo_corpus(corpus, tmp_path / "out")
    assert (counts["files"], counts["texts"], counts["withheld"]) == (len(FILES), len(ROWS), 0)
    rows = [json.loads(line) for line in (tmp_path / "out" / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    files = {row["source"].removeprefix("in/"): (tmp_path / "out" / row["file"]).read_bytes() for row in rows if "file" in row}
    assert files == FILES
    assert {row["id"]: row["text"] for row in rows if "text" in row} == {row["id"]: row["text"] for row in ROWS}
    assert len(list(restored_documents(corpus))) == len(FILES) + len(ROWS)


def test_one_document_by_its_id(corpus: Artifact, tmp_path: Path) -> None:
    undo_corpus(corpus, tmp_path / "one.txt", "in/gb.txt")
    assert (tmp_path / "one.txt").read_bytes() == FILES["gb.txt"]
    undo_corpus(corpus, tmp_path / "row.txt", "../../r1")
    assert (tmp_path / "row.txt").read_bytes().decode() == ROWS[0]["text"]
    with pytest.raises(UserError, match=r"0 documents of corpus c@.* have the id 'nobody'"):
        undo_corpus(corpus, tmp_path / "none.txt", "nobody")
    with pytest.raises(UserError, match=r"one\.txt is there already"):
        undo_corpus(corpus, tmp_path / "one.txt", "r2")


def test_the_verb_says_what_it_wrote(corpus: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path / "home"), "corpus", "undo", "c", "--all", str(tmp_path / "out")]) == 0
    assert f"{len(FILES)} text files in their own bytes, {len(ROWS)} texts" in capsys.readouterr().out
