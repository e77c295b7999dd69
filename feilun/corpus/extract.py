"""HTML to text: the article of a page, without what stands around it.

The page becomes a tree of boxes (block elements) with blocks of text in them. A block of running text is worth its length,
one of links or of scraps costs its length; a box is worth what is in it. The article is the box worth most: two tiers, for
where that box holds too little of the page's running text (a forum, a listing, a poem), the page is read whole.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["Extract", "extract_article", "page_blocks", "parse_page"]

SKIPPED = frozenset((
    "script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "button", "select", "option", "input",
    "textarea", "nav", "footer", "aside", "head", "figure", "audio", "video", "canvas", "map", "math", "dialog", "menu",
))  # fmt: skip
BOXES = frozenset((
    "html", "body", "div", "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table", "tr", "td", "th",
    "tbody", "thead", "tfoot", "caption", "section", "article", "main", "header", "address", "blockquote", "pre", "form",
    "fieldset", "center", "details", "summary", "hr", "figcaption", "hgroup",
))  # fmt: skip
HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
CELLS = ("td", "th")
# Names that page makers give to what is not the article; one on a box that holds much of the page's text is not believed.
ASIDES = re.compile(
    r"comment|disqus|related|recommend|side-?bar|foot|shar(e|ing)|social|breadcrumb|newsletter|subscri|promo|advert|sponsor|\bads?\b|banner"
    r"|cookie|popup|modal|widget|pagination|pager|navig|\bnav\b|menu|byline|author|caption|credit|\btags?\b|toolbar|meta\b|trending|popular"
    r"|more-|read-?next|outbrain|taboola|signup|login|skip|hidden|masthead|rating|copyright|disclaimer|donat|print|reply|respond|toc\b"
    r"|infobox|dateline|timestamp|follow",
    re.IGNORECASE,
)
ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "dialog", "menu", "menubar", "toolbar", "alert"))
ARTICLES = re.compile(
    r"(article|entry|post|story|news|blog)[-_]*(body|content|text|inner|copy|main)|articlebody|(^| )(content__body|body-copy|rich-?text)",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"[.!?。！？…;；:：,，、”\"」』’)）]\s*$")
# Lengths are bytes of UTF-8, so that a Han character counts as the three letters it stands for. The numbers were chosen on
# the development half of the pages of benchmarks/extraction.py; moving one of them by a quarter moves F1 there by .002 or less.
LONG_BYTES, SHORT_BYTES = 100, 30
MAX_LINK_SHARE = 0.5
SCRAP_COST, ASIDE_COST = 0.5, 0.3
LINK_FINE_BYTES, SCRAP_FINE_BYTES = 5, 2
BELIEVED_SHARE = 0.4
ARTICLE_WEIGHT = 2.5
ITEM_WEIGHT = 0.5
DESCENT = 0.85
PRUNE_BYTES = 60
# Below either, a box that does not itself say it is an article is none.
MIN_ARTICLE_BYTES = 200
MIN_ARTICLE_SHARE = 0.2


class Extract(NamedTuple):
    """Text with headings, list items and tables as Markdown has them. tier: "article" or "whole"."""

    text: str
    tier: str


@dataclass(slots=True)
class Block:
    tag: str
    text: str
    link_bytes: int
    value: float = 0.0


@dataclass(slots=True)
class Box:
    """good: the running text in it. value: what it is worth, aside boxes and scraps counted against it."""

    tag: str
    is_aside: bool = False
    is_article: bool = False
    parts: list["Block | Box"] = field(default_factory=list)
    good: float = 0.0
    value: float = 0.0

    def boxes(self) -> Iterator["Box"]:
        return (part for part in self.parts if isinstance(part, Box))


def parse_page(html: str) -> tuple[Any, bool]:
    """(root element or None, whether all of the page was read): a page nested deeper than the parser allows ends there."""
    from lxml import etree

    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(html.encode("utf-8", "replace"), parser)
    except etree.LxmlError:
        return None, False
    return root, not any(error.level == etree.ErrorLevels.FATAL for error in parser.error_log)


def extract_article(root: Any) -> Extract:
    """The article of a parsed page, or where none stands out, all of its text that is not links."""
    page = Reader().read(root)
    total = _weigh_text(page)
    _weigh(page, total, False)
    chosen = _choose(page)
    text = render(_kept(_descend(chosen)))
    num_bytes = len(text.encode())
    if num_bytes >= SHORT_BYTES if chosen.is_article else num_bytes >= max(MIN_ARTICLE_BYTES, MIN_ARTICLE_SHARE * total):
        return Extract(text, "article")
    whole = render(_unlinked(page))
    return Extract(whole, "whole") if len(whole.encode()) > num_bytes else Extract(text, "article")


def page_blocks(root: Any) -> list[Block]:
    """Every block of a page that is all text, such as a chapter of a book."""
    return list(_all_blocks(Reader(skipped=frozenset(("script", "style", "template", "head", "nav"))).read(root)))


def render(blocks: list[Block]) -> str:
    """Blocks as text; a heading that nothing follows is left out."""
    while blocks and blocks[-1].tag in HEADINGS:
        blocks.pop()
    parts: list[str] = []
    for place, block in enumerate(blocks):
        if place:
            is_close = block.tag == blocks[place - 1].tag and block.tag in ("li", "tr", "dd", "dt")
            parts.append("\n" if is_close else "\n\n")
        mark = "- " if block.tag == "li" else HEADINGS.get(block.tag, "")
        parts.append(mark + block.text)
    return "".join(parts)


class Reader:
    """Elements to boxes and blocks. The parser allows a depth of 256, so that calls may nest as the page does."""

    def __init__(self, skipped: frozenset[str] = SKIPPED) -> None:
        self.skipped = skipped
        self._text: list[str] = []
        self._link_bytes = 0
        self._num_links = 0
        self._box = Box("html")

    def read(self, root: Any) -> Box:
        top = self._box
        if root is not None:
            self._element(root)
        self._end_block()
        return top

    def _element(self, element: Any) -> None:
        tag = element.tag
        if not isinstance(tag, str) or tag in self.skipped:
            return
        if tag == "br":
            self._text.append("\v")
        elif tag in CELLS and not any(child.tag in BOXES for child in element):
            if self._text and self._box.tag == "tr":
                self._text.append(" | ")
            self._inside(element)
        elif tag in BOXES:
            self._new_box(tag, element)
        else:
            self._num_links += tag == "a"
            self._inside(element)
            self._num_links -= tag == "a"

    def _new_box(self, tag: str, element: Any) -> None:
        self._end_block()
        outer, self._box = self._box, _box_of(tag, element)
        outer.parts.append(self._box)
        self._inside(element)
        self._end_block()
        self._box = outer

    def _inside(self, element: Any) -> None:
        self._add(element.text)
        for child in element:
            self._element(child)
            self._add(child.tail)

    def _add(self, text: str | None) -> None:
        if text:
            self._text.append(text)
            if self._num_links:
                self._link_bytes += len(text.strip().encode())

    def _end_block(self) -> None:
        if not self._text:
            return
        raw = "".join(self._text)
        is_pre = self._box.tag == "pre"
        lines = (raw.replace("\v", "\n").strip("\n"),) if is_pre else (" ".join(line.split()) for line in raw.split("\v"))
        text = "\n".join(filter(None, lines))
        if text.strip():
            self._box.parts.append(Block(self._box.tag, text, self._link_bytes))
        self._text.clear()
        self._link_bytes = 0


def _box_of(tag: str, element: Any) -> Box:
    get = element.get
    style = get("style", "")
    is_hidden = get("hidden") is not None or get("aria-hidden") == "true" or ("display" in style and "none" in style)
    says_aside, says_article = _what_names_say(f"{get('class', '')} {get('id', '')}")
    is_named = says_aside and tag not in ("html", "body", "article", "main")
    is_article = says_article or tag == "article" or get("itemprop") == "articleBody"
    return Box(tag, is_hidden or is_named or get("role") in ROLES, is_article)


@lru_cache(maxsize=4096)
def _what_names_say(names: str) -> tuple[bool, bool]:
    """(that the box stands beside the article, that it is the article); a page repeats its few classes over and over."""
    return ASIDES.search(names) is not None, ARTICLES.search(names) is not None


def _value(block: Block) -> float:
    num_bytes = len(block.text.encode())
    if block.tag in HEADINGS:
        return 0.0
    if block.link_bytes > MAX_LINK_SHARE * num_bytes:
        return -float(num_bytes + LINK_FINE_BYTES)
    if num_bytes >= LONG_BYTES or (num_bytes >= SHORT_BYTES and SENTENCE_END.search(block.text)):
        return float(num_bytes - block.link_bytes)
    return -SCRAP_COST * num_bytes - SCRAP_FINE_BYTES


def _weigh_text(box: Box) -> float:
    for part in box.parts:
        if isinstance(part, Block):
            part.value = _value(part)
            box.good += max(part.value, 0.0)
        else:
            box.good += _weigh_text(part)
    return box.good


def _weigh(box: Box, total: float, in_aside: bool) -> None:
    box.is_aside = in_aside or (box.is_aside and box.good < BELIEVED_SHARE * total)
    for part in box.parts:
        if isinstance(part, Block):
            box.value += -ASIDE_COST * len(part.text.encode()) if box.is_aside and part.tag not in HEADINGS else part.value
        else:
            _weigh(part, total, box.is_aside)
            # Prose in list items is more often a list of other articles than part of this one.
            box.value += part.value * (ITEM_WEIGHT if part.tag == "li" and part.value > 0 else 1)


def _choose(page: Box) -> Box:
    """The box of the greatest value that has parts, one that says it is an article preferred."""
    best, stack = page, [page]
    while stack:
        box = stack.pop()
        inner = list(box.boxes())
        if inner and _claim(box) > _claim(best):
            best = box
        stack += inner
    return best


def _descend(box: Box) -> Box:
    """Down while one part with parts of its own holds nearly all that the box is worth."""
    while True:
        top = max(box.boxes(), key=lambda part: part.value, default=None)
        if top is None or top.value < DESCENT * box.value or not any(top.boxes()):
            return box
        box = top


def _claim(box: Box) -> float:
    return box.value * (ARTICLE_WEIGHT if box.is_article else 1)


def _kept(box: Box) -> list[Block]:
    kept: list[Block] = []
    for part in box.parts:
        if isinstance(part, Block):
            if _is_no_link_list(part):
                kept.append(part)
        elif not part.is_aside and part.value >= -PRUNE_BYTES:
            kept += _kept(part)
    return kept


def _unlinked(page: Box) -> list[Block]:
    return [block for block in _all_blocks(page) if _is_no_link_list(block)]


def _is_no_link_list(block: Block) -> bool:
    return block.tag in HEADINGS or block.value > 0 or block.link_bytes < MAX_LINK_SHARE * len(block.text.encode())


def _all_blocks(box: Box) -> Iterator[Block]:
    for part in box.parts:
        if isinstance(part, Block):
            yield part
        else:
            yield from _all_blocks(part)
