"""TeX -> MathML that holds nothing but mathematics.

The converter's own text output is not safe: it unescapes what it has escaped, and passes \\href, \\style and \\class on. So its tree is
written out here, tag by tag and attribute by attribute from a list, and whatever it cannot convert stays as its source.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from xml.etree.ElementTree import Element

__all__ = ["MATH_ATTRIBUTES", "MATH_TAGS", "MAX_TEX_CHARS", "mathml"]

MAX_TEX_CHARS = 2000
MAX_DEPTH = 200
# With macros of their own, sixty lines of TeX ask for 2^60 symbols.
MACROS = re.compile(r"\\(?:newcommand|renewcommand|def|DeclareMathOperator|newenvironment)")
REFERENCE = re.compile(r"&#x([0-9A-Fa-f]{1,6});")
MATH_TAGS = frozenset(
    {
        "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mfrac", "msqrt", "mroot", "msub", "msup", "msubsup", "munder", "mover",
        "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded", "mphantom", "menclose",
    }
)  # fmt: skip
MATH_ATTRIBUTES: dict[str, set[str]] = {
    "math": {"display"},
    "mi": {"mathvariant"},
    "mn": {"mathvariant"},
    "mo": {"stretchy", "fence", "form", "separator", "accent", "minsize", "maxsize"},
    "mtext": {"mathvariant"},
    "mspace": {"width"},
    "mfrac": {"linethickness"},
    "mover": {"accent"},
    "munder": {"accent"},
    "mtable": {"columnalign", "columnspacing", "rowspacing", "displaystyle", "columnlines", "rowlines"},
    "mtd": {"columnalign"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "menclose": {"notation"},
}
# Words, and lengths that cannot push one thing over another: at most two em, never negative.
VALUE = re.compile(r"(?:[a-z-]+|[0-2]?(?:\.[0-9]{1,4})?(?:em|px|pt)?)(?: (?:[a-z-]+|[0-2]?(?:\.[0-9]{1,4})?(?:em|px|pt)?)){0,63}")


@lru_cache(maxsize=1024)
def mathml(tex: str, *, display: bool) -> str | None:
    """The formula as a <math> element; None where it cannot be had (too long, not TeX, macros of its own)."""
    if not tex.strip() or len(tex) > MAX_TEX_CHARS or MACROS.search(tex):
        return None
    # Some 40 ms to import, and needed by few.
    from latex2mathml.converter import convert_to_element

    try:
        tree = convert_to_element(tex, display="block" if display else "inline")
        return "".join(_written(tree, 0))
    except Exception:
        # It raises a dozen kinds of error on what is not TeX, some of them by accident; all mean the same here.
        return None


def _written(element: Element, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise ValueError("a formula nested too deep")
    if element.tag not in MATH_TAGS:
        raise ValueError(f"{element.tag} is not mathematics")
    allowed = MATH_ATTRIBUTES.get(element.tag, set())
    kept = (f' {name}="{value}"' for name, value in element.attrib.items() if name in allowed and VALUE.fullmatch(value))
    yield f"<{element.tag}{''.join(kept)}>"
    yield _text(element.text)
    for child in element:
        yield from _written(child, depth + 1)
        yield _text(child.tail)
    yield f"</{element.tag}>"


def _text(text: str | None) -> str:
    """The converter writes signs as references inside text; everything else is what the reader is to see."""
    return escape(REFERENCE.sub(lambda match: _character(int(match[1], 16)), text or ""), quote=False)


def _character(code: int) -> str:
    printable = code >= 0x20 and not 0xD800 <= code <= 0xDFFF and code <= 0x10FFFF
    return chr(code) if printable else "\ufffd"
