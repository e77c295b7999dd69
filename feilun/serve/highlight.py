"""Code -> spans of a dozen classes, for languages that people name.

Classes (as in Pygments' own style sheets): k keyword, nb built-in, nf function or class, nt tag, na attribute, nd decorator, s string,
m number, c comment, o operator, gd deleted and gi inserted line of a diff. Everything else is plain text.
"""

import time
from collections.abc import Mapping
from functools import lru_cache
from html import escape

__all__ = ["CLASSES", "MAX_CODE_CHARS", "highlight"]

MAX_CODE_CHARS = 50_000
# Some of these lexers take time in the square of the length: one line of 50,000 signs took 51 seconds within a single match, 20,000
# empty lines of C took 28. Such code stays uncoloured.
MAX_LINE_CHARS = 2000
MAX_SECONDS = 0.25
CLASSES = frozenset({"k", "nb", "nf", "nt", "na", "nd", "s", "m", "c", "o", "gd", "gi"})
# The nearest ancestor of a token that stands here names its class.
KINDS: Mapping[str, str] = {
    "Token.Keyword": "k",
    "Token.Operator.Word": "k",
    "Token.Name.Builtin": "nb",
    "Token.Name.Function": "nf",
    "Token.Name.Class": "nf",
    "Token.Name.Tag": "nt",
    "Token.Name.Attribute": "na",
    "Token.Name.Decorator": "nd",
    "Token.Literal.String": "s",
    "Token.Literal.Number": "m",
    "Token.Comment": "c",
    "Token.Operator": "o",
    "Token.Generic.Deleted": "gd",
    "Token.Generic.Inserted": "gi",
}
LANGUAGES = frozenset(
    {
        "bash", "sh", "shell", "zsh", "c", "cpp", "c++", "csharp", "c#", "cs", "css", "diff", "dockerfile", "go", "golang", "html", "ini",
        "java", "javascript", "js", "json", "jsonl", "jsx", "kotlin", "latex", "tex", "lua", "makefile", "markdown", "md", "objective-c",
        "php", "powershell", "python", "py", "python3", "r", "ruby", "rb", "rust", "rs", "scala", "scss", "sql", "swift", "toml", "ts",
        "tsx", "typescript", "xml", "yaml", "yml",
    }
)  # fmt: skip
ALIASES = {"jsonl": "json", "jsx": "javascript", "tsx": "typescript", "py": "python"}


@lru_cache(maxsize=64)
def highlight(code: str, language: str) -> str | None:
    """The code as HTML; None for a language that is not known here, and for what is too long or takes too long."""
    if language not in LANGUAGES or len(code) > MAX_CODE_CHARS or max(map(len, code.split("\n"))) > MAX_LINE_CHARS:
        return None
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

    lexer = get_lexer_by_name(ALIASES.get(language, language), stripnl=False, ensurenl=False)
    parts: list[str] = []
    end = time.monotonic() + MAX_SECONDS
    for token, text in lexer.get_tokens(code):
        if time.monotonic() > end:
            return None
        kind = _kind(str(token))
        parts.append(f'<span class="{kind}">{escape(text, quote=False)}</span>' if kind else escape(text, quote=False))
    return "".join(parts)


@lru_cache(maxsize=1024)
def _kind(token: str) -> str:
    while token:
        if token in KINDS:
            return KINDS[token]
        token = token.rpartition(".")[0]
    return ""
