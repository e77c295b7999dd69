import re
from html.parser import HTMLParser
from pathlib import Path

from feilun.config import CorpusSettings
from feilun.corpus import build_from_documents, html_page
from feilun.types import Document

HOSTILE = "<script>alert('一')</script><img src=x onerror=y> & \"quotes\""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def page_of(home: Path, texts: list[str], **changes: object) -> Tags:
    documents = [Document(id=f"{HOSTILE}{i}", text=text, source="s", license=HOSTILE) for i, text in enumerate(texts)]
    return read(html_page(build_from_documents(home, "c", documents, CorpusSettings(**changes))))  # type: ignore[arg-type]


def test_the_page_is_whole_and_holds_nothing_that_runs(tmp_path: Path) -> None:
    line = "这一行比较长，在同一篇文档里面又出现了一次，所以后面的那一次会被剪掉。"
    texts = [f"第{i}篇\r\n{line}\n{line}\n请写信到 someone{i}@163.com 。{HOSTILE}" for i in range(30)]
    texts += ["太短", "太短"]
    tags = page_of(tmp_path, texts, near_duplicates=False)
    assert not tags.seen & {"script", "img", "link", "iframe", "object"}
    words = "".join(tags.words)
    for told in ("32 documents read", "too_short", "line_ends", "repeated_line", "pii_email", "(not kept)", "[EMAIL]", HOSTILE[:20], "zh"):
        assert told in words
    assert "someone1@163.com" not in words
    assert {"svg", "table", "details", "del", "ins"} <= tags.seen


def test_a_page_of_almost_nothing(tmp_path: Path) -> None:
    words = "".join(page_of(tmp_path, ["一篇足够长的文档，没有什么可修的，也没有什么可删的。"]).words)
    assert re.search(r"1 documents read, 1 kept, 0 dropped", words)
    assert "none" in words
