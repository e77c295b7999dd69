"""Markdown -> HTML that is safe to show, block by block.

Three walls, each enough alone: the parser passes no HTML through, what is written here is escaped where it is written, and the result
goes through an allow-list (nh3) after rendering. No address is ever loaded: an image becomes a link that says where it lies.
Reference definitions are no part of the language here: one at the end of a text would change blocks that were shown long before.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from html import escape
from itertools import accumulate
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from feilun.serve.formula import MATH_ATTRIBUTES, MATH_TAGS, mathml
from feilun.serve.highlight import CLASSES, MAX_CODE_CHARS, highlight

__all__ = ["Blocks", "render_blocks"]

log = logging.getLogger(__name__)

MAX_CHARS = 200_000
# Code that still grows is coloured anew with every piece, so only while it is short.
MAX_GROWING_CODE_CHARS = 4000
OPEN_BLOCKS = 2
SCHEMES = ("http", "https", "mailto")
LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
ALIGN = re.compile(r"text-align:(left|right|center)")
# Of brackets around a formula; dollars close as they open.
CLOSING = {"\\(": "\\)", "\\[": "\\]"}
NEWLINE = re.compile(r"\r\n?")
# One line that begins with a letter and holds no sign of the language: most of what people and small models write.
PLAIN = re.compile(r"[^\W\d_][^\n\x00-\x1f\x7f\xa0`*_\[\]<>&\"#$~|\\!]*")

TAGS = MATH_TAGS | {
    "p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "h3", "h4", "h5", "h6", "table", "thead", "tbody",
    "tr", "th", "td", "a", "span", "div",
}  # fmt: skip
ATTRIBUTES: dict[str, set[str]] = {"a": {"href"}, "code": {"data-lang"}, "ol": {"start"}, **MATH_ATTRIBUTES}


@lru_cache(maxsize=4096)
def render_blocks(text: str) -> tuple[str, ...]:
    """The whole text, one piece of HTML a block; joined they are the page."""
    if PLAIN.fullmatch(text):
        return (f"<p>{text.rstrip()}</p>",)
    return tuple(block.html for block in _blocks(NEWLINE.sub("\n", text), MAX_CODE_CHARS))


class Blocks:
    """A growing text. What can no longer change is rendered once; `blocks` is what there is now."""

    def __init__(self) -> None:
        self._text, self._closed_chars = "", 0
        self._closed: list[str] = []
        self.blocks: tuple[str, ...] = ()

    def update(self, text: str, *, final: bool = False) -> tuple[str, ...]:
        """The blocks of `text`, which is the earlier text and more (or, when it was cut, less). final: no more will come."""
        text = NEWLINE.sub("\n", text)
        if final or not text.startswith(self._text[: self._closed_chars]):
            self._closed_chars, self._closed = 0, []
        found = list(_blocks(text[self._closed_chars :], MAX_CODE_CHARS if final else MAX_GROWING_CODE_CHARS))
        self.blocks = (*self._closed, *(block.html for block in found))
        # The last block may still grow, and its first line, until it is whole, may turn out to belong to the one before it. A formula
        # that is not yet closed looks like any other blocks, until an empty line says that it is none.
        kept = next((i for i in range(len(found) - OPEN_BLOCKS, 0, -1) if found[i].after_empty_line), 0)
        if kept:
            self._closed += [block.html for block in found[:kept]]
            self._closed_chars += found[kept].start
        self._text = text
        return self.blocks


class Block(NamedTuple):
    """A block at the top, and the character of the text at which its first line begins."""

    html: str
    start: int
    after_empty_line: bool = False


def _blocks(text: str, max_code_chars: int) -> Iterator[Block]:
    if len(text) > MAX_CHARS:
        yield Block(f"<pre>{escape(text, quote=False)}</pre>", 0)
        return
    try:
        parsed = list(_parsed(text, max_code_chars))
    except Exception:
        # A fault of a parser must not take the answer with it.
        log.exception("a text of %d characters could not be rendered; shown as it is", len(text))
        parsed = [Block(f"<pre>{escape(text, quote=False)}</pre>", 0)]
    yield from (block._replace(html=_cleaner().clean(block.html).strip()) for block in parsed)


def _parsed(text: str, max_code_chars: int) -> Iterator[Block]:
    parser, environment = _parser(), {"max_code_chars": max_code_chars}
    lines = text.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    for tokens in _top_level(parser.parse(text, environment)):
        line = tokens[0].map[0]
        html = parser.renderer.render(tokens, parser.options, environment)
        yield Block(html, starts[line], line > 0 and not lines[line - 1].strip())


def _top_level(tokens: Iterable[Any]) -> Iterator[list[Any]]:
    group: list[Any] = []
    depth = 0
    for token in tokens:
        group.append(token)
        depth += token.nesting
        if depth == 0:
            yield group
            group = []


@cache
def _cleaner() -> Any:
    import nh3

    return nh3.Cleaner(
        tags=set(TAGS),
        attributes={"*": set(), **{tag: set(names) for tag, names in ATTRIBUTES.items()}},
        tag_attribute_values={"th": {"align": {"left", "right", "center"}}, "td": {"align": {"left", "right", "center"}}},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        allowed_classes={"span": set(CLASSES), "a": {"image"}},
        clean_content_tags={"script", "style"},
        url_schemes=set(SCHEMES),
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )


@cache
def _parser() -> Any:
    # Some 30 ms to import; a server that answers programs alone needs none of it.
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = (
        MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"]).disable(["reference", "html_block"])
    )
    parser.validateLink = lambda url: LINK.match(url.strip()) is not None  # type: ignore[method-assign]
    dollarmath_plugin(parser, allow_labels=False, allow_space=False, allow_digits=False, allow_blank_lines=False, double_inline=True)
    parser.inline.ruler.before("escape", "math_brackets", _bracket_math)
    parser.block.ruler.before("fence", "math_bracket_block", _bracket_block)
    rules = {
        "fence": _fence, "code_block": _code_block, "image": _image, "math_inline": _inline_math, "math_inline_double": _inline_math,
        "math_block": _block_math, "heading_open": _heading, "heading_close": _heading, "th_open": _cell, "td_open": _cell,
    }  # fmt: skip
    renderer: Any = parser.renderer
    renderer.rules.update({name: _bound(rule) for name, rule in rules.items()})
    return parser


def _bound(rule: Any) -> Any:
    """A rule of one token in the shape that the renderer calls."""
    return lambda tokens, index, options, environment: rule(tokens[index], environment)


def _fence(token: Any, environment: dict[str, Any]) -> str:
    language = (token.info.split() or [""])[0].lower()
    code = token.content
    coloured = highlight(code, language) if len(code) <= environment["max_code_chars"] else None
    named = f' data-lang="{escape(language)}"' if language else ""
    return f"<pre><code{named}>{escape(code, quote=False) if coloured is None else coloured}</code></pre>\n"


def _code_block(token: Any, _environment: dict[str, Any]) -> str:
    return f"<pre><code>{escape(token.content, quote=False)}</code></pre>\n"


def _image(token: Any, _environment: dict[str, Any]) -> str:
    address = str(token.attrs.get("src", ""))
    shown = " · ".join(filter(None, (token.content, _host(address))))
    return f'<a class="image" href="{escape(address)}">{escape(shown)}</a>'


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _inline_math(token: Any, _environment: dict[str, Any]) -> str:
    return mathml(token.content, display=token.type == "math_inline_double") or f"<code>{escape(_source(token))}</code>"


def _block_math(token: Any, _environment: dict[str, Any]) -> str:
    formula = mathml(token.content, display=True)
    return f"<div>{formula}</div>\n" if formula else f"<pre><code>{escape(_source(token), quote=False)}</code></pre>\n"


def _source(token: Any) -> str:
    return f"{token.markup}{token.content}{CLOSING.get(token.markup, token.markup)}"


def _heading(token: Any, _environment: dict[str, Any]) -> str:
    # The page's own headings are of the first two levels; an answer's stand below them.
    level = min(int(token.tag[1:]) + 2, 6)
    return f"<h{level}>" if token.nesting > 0 else f"</h{level}>\n"


def _cell(token: Any, _environment: dict[str, Any]) -> str:
    # Inline styles are refused by the page's policy.
    found = ALIGN.search(str(token.attrs.get("style", "")))
    return f'<{token.tag} align="{found[1]}">' if found else f"<{token.tag}>"


def _bracket_math(state: Any, silent: bool) -> bool:
    r"""\( ... \) and \[ ... \] inside a line of text."""
    opening = state.src[state.pos : state.pos + 2]
    closing = CLOSING.get(opening)
    end = state.src.find(closing, state.pos + 2, state.posMax) if closing else -1
    content = state.src[state.pos + 2 : end]
    if end < 0 or not content.strip():
        return False
    if not silent:
        token = state.push("math_inline" if opening == "\\(" else "math_inline_double", "math", 0)
        token.content, token.markup = content, opening
    state.pos = end + 2
    return True


def _bracket_block(state: Any, start_line: int, end_line: int, silent: bool) -> bool:
    r"""\[ ... \] on lines of its own, without an empty line in it."""
    lines: list[str] = []
    for number in range(start_line, end_line):
        line = state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].strip()
        if number == start_line and (state.is_code_block(number) or not line.startswith("\\[")):
            return False
        if not line or state.sCount[number] < state.blkIndent:
            return False
        lines.append(line)
        if line.endswith("\\]"):
            break
    else:
        return False
    content = "\n".join(lines)[2:-2]
    if "\\]" in content or not content.strip():
        return False
    if not silent:
        state.line = start_line + len(lines)
        token = state.push("math_block", "math", 0)
        token.block, token.content, token.markup, token.map = True, content, "\\[", [start_line, state.line]
    return True
