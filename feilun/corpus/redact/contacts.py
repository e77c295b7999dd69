"""Ways to reach a person: e-mail, WeChat, QQ."""

import re
from collections.abc import Iterator

from feilun.corpus.redact.kinds import Span, label_before
from feilun.corpus.redact.words import MAIL_WORDS, names_in

__all__ = ["find_emails", "find_qq", "find_wechat"]

EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])([A-Za-z0-9_][A-Za-z0-9._%+-]{0,63})(?:@|[ ]?[\[({（【][ ]?(?:at|AT|@)[ ]?[\])}）】][ ]?)"
    r"((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,6}([A-Za-z]{2,24}))(?![A-Za-z0-9_-]|\.[A-Za-z])"
)
# The generic top-level domains of most addresses (IANA root zone); two letters are a country. A rarer one counts behind a word for
# mail only: in code `q@k.transpose` is a product of matrices.
TOP_DOMAINS = names_in(
    """com org net edu gov mil int info biz name pro aero coop museum mobi asia tel jobs cat travel post app dev online site top xyz
    club vip shop store tech cloud wang ren ltd group work link live life world email fun icu art ink design space website press
    host blog news media studio agency digital company network systems solutions services software center school academy university
    institute foundation health care law bank finance money global city wiki run one page chat social games video show cash team
    today plus"""
)
CALLED = frozenset({"cn", "hk", "tw"}) | TOP_DOMAINS
# RFC 2606, and logins of programs: they reach nobody.
NOBODY = re.compile(r"(?:^|\.)(?:example|test|invalid|localhost|local)(?:\.(?:com|net|org|cn))?$|^(?:your)?domain\.com$", re.IGNORECASE)
PROGRAMS = names_in("""git hg svn noreply no-reply root user username""")

BEFORE, AFTER = r"(?<![A-Za-z0-9_])", r"(?![A-Za-z0-9_]|[-.][0-9A-Za-z])"
IS = r"[ ]{0,3}(?:[:：=]|是|为|為)[ ]{0,3}[\"'“「【\[(（]?"
WECHAT_NAME = rf"(?:[微薇威Vv]信|{BEFORE}(?i:we ?chat|weixin|vx|wx))"
WECHAT = re.compile(
    rf"(?:(?P<sure>{WECHAT_NAME}[ ]?(?:号码?|號碼?|(?i:id))"
    rf"|加(?:我|个|個)?(?:[vV薇]信?|(?i:vx|wx)|微信?))|{WECHAT_NAME})(?:(?P<is>{IS})|[ ]{{0,3}})"
    rf"(?P<handle>[A-Za-z][A-Za-z0-9_-]{{5,19}}|1[3-9][0-9]{{9}}|[1-9][0-9]{{5,10}}){AFTER}(?!\s?[:：/@(])"
)
NOT_HANDLES = names_in("""openid unionid appid wechat weixin android iphone windows server payment string number boolean undefined""")
QQ = re.compile(
    rf"(?:{BEFORE}[Qq]{{2}}|扣扣|企鹅|企鵝)[ ]?"
    rf"(?P<sure>(?:交流|技术|技術|粉丝|学习)?(?:群|号|號)(?:组|号|號|码|碼)?[0-9一二三四五]?)?(?:(?P<is>{IS})|[ ]{{0,3}})"
    rf"(?P<handle>[1-9][0-9]{{4,10}}){AFTER}(?!@|\s?[万萬亿億人个個年元月])"
)


def find_emails(text: str, start: int, end: int) -> Iterator[Span]:
    for match in EMAIL.finditer(text, start, end):
        local, domain, top = match.groups()
        if local.lower() not in PROGRAMS and not NOBODY.search(domain) and _ends_an_address(text, match, top):
            yield Span(*match.span())


def _ends_an_address(text: str, match: re.Match[str], top: str) -> bool:
    name = top.lower()
    if text.startswith("(", match.end()):  # hr@x.cn(8-17h), but not w@x.to(device)
        return name in CALLED
    is_country = len(top) == 2 and (top.islower() or top.isupper())
    return is_country or name in TOP_DOMAINS or label_before(text, match.start(), MAIL_WORDS, NEVER) > 0


NEVER = re.compile(r"(?!)")


def find_wechat(text: str, start: int, end: int) -> Iterator[Span]:
    for match in WECHAT.finditer(text, start, end):
        handle = match["handle"]
        has_mark = any(c.isdigit() or c == "_" for c in handle)
        # `微信 Android` and `wx: function` are no handles: without a sign between it takes a digit and 号, and letters alone take both.
        is_named = match["sure"] and match["is"] if not has_mark else match["sure"] or match["is"] or handle.isdigit()
        if is_named and handle.lower() not in NOT_HANDLES:
            yield Span(*match.span("handle"))


def find_qq(text: str, start: int, end: int) -> Iterator[Span]:
    for match in QQ.finditer(text, start, end):
        if match["sure"] or match["is"] or len(match["handle"]) > 5:
            yield Span(*match.span("handle"))
