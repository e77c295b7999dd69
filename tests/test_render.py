"""Markdown to safe HTML: what it looks like, what cannot get through, and a growing text that is the same as a whole one."""

import re
from html.parser import HTMLParser

import pytest
from hostile import HOSTILE, LONG
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.serve.formula import MATH_ATTRIBUTES, MATH_TAGS, MAX_TEX_CHARS, mathml
from feilun.serve.highlight import CLASSES, MAX_CODE_CHARS, MAX_LINE_CHARS, highlight
from feilun.serve.render import ATTRIBUTES, MAX_GROWING_CODE_CHARS, TAGS, Blocks, render_blocks


def html(text: str) -> str:
    return "".join(render_blocks(text))


# --- what it looks like

AWAY = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("好的。", ["<p>好的。</p>"]),
        ("a\nb\n\nc", ["<p>a<br>\nb</p>", "<p>c</p>"]),
        ("**b** *i* ~~s~~ `c`", ["<p><strong>b</strong> <em>i</em> <s>s</s> <code>c</code></p>"]),
        ("# one\n\n###### six", ["<h3>one</h3>", "<h6>six</h6>"]),
        ("3. a\n4. b", ['<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>']),
        ("> q\n\n---", ["<blockquote>\n<p>q</p>\n</blockquote>", "<hr>"]),
        ("    code <b>", ["<pre><code>code &lt;b&gt;\n</code></pre>"]),
        ("```\na<b\n```", ["<pre><code>a&lt;b\n</code></pre>"]),
        ("```nosuch x\na\n```", ['<pre><code data-lang="nosuch">a\n</code></pre>']),
        ("```json\n1\n```", ['<pre><code data-lang="json"><span class="m">1</span>\n</code></pre>']),
        ("$5 and $6, a $ b", ["<p>$5 and $6, a $ b</p>"]),
        ("$x$", ['<p><math display="inline"><mrow><mi>x</mi></mrow></math></p>']),
        ("\\(x\\)", ['<p><math display="inline"><mrow><mi>x</mi></mrow></math></p>']),
        ("is \\[x\\]", ['<p>is <math display="block"><mrow><mi>x</mi></mrow></math></p>']),
        ("$$\nx\n$$\n\nso", ['<div><math display="block"><mrow><mi>x</mi></mrow></math></div>', "<p>so</p>"]),
        ("\\[\nx\n\\]\nso", ['<div><math display="block"><mrow><mi>x</mi></mrow></math></div>', "<p>so</p>"]),
        ("- \\[x\n  \\]", ['<ul>\n<li>\n<div><math display="block"><mrow><mi>x</mi></mrow></math></div>\n</li>\n</ul>']),
        ("$\\frac{$", ["<p><code>$\\frac{$</code></p>"]),
        ("[t](http://a.b)", [f'<p><a href="http://a.b" {AWAY}>t</a></p>']),
        ("![alt](https://a.b/c.png)", [f'<p><a class="image" href="https://a.b/c.png" {AWAY}>alt · a.b</a></p>']),
        ("[r]\n\n[r]: http://a.b", ["<p>[r]</p>", "<p>[r]: http://a.b</p>"]),
    ],
)  # fmt: skip
def test_blocks(text: str, expected: list[str]) -> None:
    assert list(render_blocks(text)) == expected


@given(st.text(alphabet="飞轮。，ab 1-+.:()=?%;/é\u3000", max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_short_way_for_plain_text_is_the_long_way(text: str) -> None:
    whole = Blocks().update(text, final=True)
    assert render_blocks(text) == whole


def test_a_table_is_aligned_without_inline_style() -> None:
    (table,) = render_blocks("|a|b|\n|-:|-|\n|1|2|")
    assert re.findall("<t[hd]\\b.*", table) == ['<th align="right">a</th>', "<th>b</th>", '<td align="right">1</td>', "<td>2</td>"]


# --- what cannot get through


ADDED = {"a": ("target", "rel", "class"), "span": ("class",), "td": ("align",), "th": ("align",)}


class Checker(HTMLParser):
    """Fails on any tag, attribute or address that is not allowed, and on tags that do not nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        if tag not in ("br", "hr"):
            self.open.append(tag)
        for name, value in attributes:
            assert name in {*ATTRIBUTES.get(tag, ()), *ADDED.get(tag, ())}
            assert name != "class" or set((value or "").split()) <= {*CLASSES, "image"}
            assert name != "href" or re.match(r"(https?|mailto):", value or "")
            assert name != "width" or re.fullmatch(r"[0-2]?(\.\d+)?em", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def check(blocks: tuple[str, ...]) -> None:
    for block in blocks:
        checker = Checker()
        checker.feed(block)
        checker.close()
        assert checker.open == []


def test_there_are_many_payloads() -> None:
    assert len({*HOSTILE, *LONG}) >= 100
    assert {"script", "style", "svg", "img", "annotation-xml", "iframe"}.isdisjoint(TAGS)


@pytest.mark.parametrize("payload", HOSTILE)
def test_hostile_text_stays_text_at_every_cut(payload: str) -> None:
    for around in ("{}", "- {}\n- x", "**{}**"):
        check(render_blocks(around.format(payload)))
    growing = Blocks()
    for end in range(1, len(payload) + 1):
        check(growing.update(payload[:end]))
    assert growing.update(payload, final=True) == render_blocks(payload)


@pytest.mark.parametrize("payload", LONG)
def test_long_hostile_text_stays_text(payload: str) -> None:
    check(render_blocks(payload))
    check(Blocks().update(payload))


def test_addresses_that_would_be_loaded_are_only_shown() -> None:
    shown = html("".join(HOSTILE))
    assert not re.search(r"<[^>]*\b(src|srcset|background|poster|data|action|style|on\w+|xlink:href)\s*=", shown)


def test_javascript_is_no_address() -> None:
    for payload in HOSTILE:
        assert not re.search(r'<[^>]*\bhref="\s*(?!https?:|mailto:)', html(payload))


# --- formulas and code


def test_what_is_no_formula_is_shown_as_it_was_written() -> None:
    hang = "".join(rf"\newcommand{{\{chr(98 + i)}}}{{\{chr(97 + i)}\{chr(97 + i)}}}" for i in range(20)) + r"\u"
    for tex in (hang, r"\def\a{\a\a}\a", "x" * (MAX_TEX_CHARS + 1), "{" * 1500, r"\left(" * 300, "", "x^"):
        assert mathml(tex, display=False) is None
    assert html(f"${hang}$").startswith("<p><code>$\\newcommand")


def test_formulas_keep_their_signs_and_nothing_else() -> None:
    assert (
        mathml("a<b&c", display=True)
        == '<math display="block"><mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi><mi>&amp;</mi><mi>c</mi></mrow></math>'
    )
    found = mathml(r"\begin{pmatrix}1&2\\3&4\end{pmatrix} \sum_{i=0}^n \hspace{90em} \quad \left[\sqrt[3]{x}\right]", display=True)
    assert found is not None
    assert {*re.findall(r"<(\w+)", found)} <= MATH_TAGS
    assert re.findall(r'<mspace width="([^"]*)"', found) == ["1em"]
    assert all(name in set().union(*MATH_ATTRIBUTES.values()) for name in re.findall(r' (\w+)="', found))


def test_code_is_coloured_in_known_languages_and_sizes() -> None:
    assert highlight("x = 1", "python") == 'x <span class="o">=</span> <span class="m">1</span>'
    assert highlight("x" * (MAX_LINE_CHARS + 1), "python") is highlight("x\n" * MAX_CODE_CHARS, "python") is None
    assert highlight("x" * (MAX_CODE_CHARS + 1), "python") is highlight("x", "brainfuck") is highlight("x", "") is None
    long = "```python\n" + "x = 1\n" * MAX_GROWING_CODE_CHARS + "```\n"
    assert "<span" not in "".join(Blocks().update(long))
    growing = Blocks()
    growing.update(long[:-200])
    assert growing.update(long, final=True) == Blocks().update(long, final=True)


# --- growing

PIECES = st.sampled_from(
    [
        "a", "b", "1", "-", "- ", "* ", "1. ", "2) ", "> ", "#", "# ", "`", "```", "```py\n", "~~~", "\n", "\n\n", "\r\n", " ", "  ",
        "    ", "\t", "|", "|-|", "| a |\n", "|:-:|\n", "$", "$$", "\\(", "\\)", "\\[", "\\]", "x^2", "*", "**", "_", "~~", "[", "](http://a.b)",
        "![", "=", "===", "---", "<", ">", "&lt;", "\\", "龙井。", "[r]: http://a.b", "\x00",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40))
@settings(max_examples=150, deadline=None)
def test_a_growing_text_is_at_each_moment_what_a_whole_one_would_be(pieces: list[str]) -> None:
    growing, text = Blocks(), ""
    for piece in pieces:
        text += piece
        assert growing.update(text) == Blocks().update(text)
    assert growing.update(text, final=True) == render_blocks(text)


def test_a_text_that_was_cut_is_rendered_anew() -> None:
    growing = Blocks()
    growing.update("one\n\ntwo\n\nthree\n\nfour\n\nfive")
    assert growing.update("one\n\ntw") == ("<p>one</p>", "<p>tw</p>")


def test_only_the_end_of_a_long_text_is_rendered_again() -> None:
    growing = Blocks()
    text = "".join(f"paragraph {i}\n\n" for i in range(100))
    growing.update(text)
    assert growing._closed_chars > len(text) - 60
    assert len(growing.update(text + "more")) == 101
