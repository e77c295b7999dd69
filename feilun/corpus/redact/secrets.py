"""Keys and passwords in the forms that their makers print, so that a random word is none."""

import re
from collections.abc import Iterator

from feilun.corpus.redact.kinds import Span

__all__ = ["SECRET_FLAG", "find_secrets"]

# Prefix and shape as each maker documents it: OpenAI and Anthropic, this program's own keys, AWS, GitHub, GitLab, Slack, Google,
# Hugging Face, Stripe, npm, PyPI, Aliyun, Tencent Cloud; then RFC 7519 tokens.
SHAPES = (
    r"sk-(?:proj-|ant-[a-z0-9]{1,8}-|svcacct-)?[A-Za-z0-9_-]{20,200}", r"fl-[A-Za-z0-9_-]{43}", r"A(?:KIA|SIA)[A-Z0-9]{16}",
    r"gh[pousr]_[A-Za-z0-9]{36,255}", r"github_pat_[A-Za-z0-9_]{40,255}", r"glpat-[A-Za-z0-9_-]{20,64}", r"xox[abprs]-[A-Za-z0-9-]{20,255}",
    r"AIza[A-Za-z0-9_-]{35}", r"hf_[A-Za-z0-9]{34}", r"[rs]k_live_[A-Za-z0-9]{16,128}", r"npm_[A-Za-z0-9]{36}",
    r"pypi-AgEI[A-Za-z0-9_-]{50,500}",
    r"LTAI[A-Za-z0-9]{12,26}", r"AKID[A-Za-z0-9]{28,36}",
    r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,8000}\.[A-Za-z0-9_-]{16,2000}",
)  # fmt: skip
TOKEN = re.compile(rf"(?<![A-Za-z0-9_-])(?:{'|'.join(SHAPES)})(?![A-Za-z0-9_-])")
BLOCK = re.compile(
    r"-----BEGIN (?P<name>[A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:[A-Za-z0-9+/=\s:,\\\"']|-(?!-)){16,20000}+(?:-----END (?P=name)-----|\Z)"
)
LOGIN = re.compile(r"(?<![A-Za-z0-9])[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"<>]{1,64}:(?P<word>[^\s/:@'\"<>]{1,128})@(?=[A-Za-z0-9\[])")
# What stands in a manual for a password.
STAND_INS = re.compile(
    r"(?:your|my)?[-_]?(?:password|passwd|passwort|pass|pwd|pw|secret|token|密码|密碼)|passed"
    r"|1234(?:5(?:6(?:7(?:8(?:90?)?)?)?)?)?|x+|\*+|\[.*|\.+|\$.*|\{.*|%.*|<.*",
    re.IGNORECASE,
)
SECRET_FLAG = (
    r"sk-[A-Za-z0-9_-]{20}|fl-[A-Za-z0-9_-]{43}|A(?:KIA|SIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_|glpat-|xox[abprs]-"
    r"|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{34}|[rs]k_live_|npm_[A-Za-z0-9]{36}|pypi-AgEI|LTAI[A-Za-z0-9]{12}|AKID[A-Za-z0-9]{28}"
    r"|eyJ[A-Za-z0-9_-]{8}|PRIVATE KEY"
    r"|://[^\s/:@'\"<>]+:[^\s/:@'\"<>]+@"
)


def find_secrets(text: str, start: int, end: int) -> Iterator[Span]:
    found = [Span(*match.span()) for match in BLOCK.finditer(text, start, end)]
    found += [Span(*match.span()) for match in TOKEN.finditer(text, start, end) if _is_random(match[0])]
    found += [Span(*match.span("word")) for match in LOGIN.finditer(text, start, end) if not STAND_INS.fullmatch(match["word"])]
    end = 0
    for span in sorted(found):
        if span.start >= end:
            yield span
            end = span.end


def _is_random(token: str) -> bool:
    """Whether letters and digits are mixed as chance mixes them: `sk-toggleable__content-wrapper` is a name, AKIA...EXAMPLE a manual's."""
    return sum(c.isdigit() for c in token) >= 2 and any(c.isalpha() for c in token[4:]) and not token.endswith("EXAMPLE")
