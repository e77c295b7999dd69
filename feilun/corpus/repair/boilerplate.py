"""What a site prints around an article, in both scripts: dates and counters, pagers, share buttons, reprint notes, job ads.

Only whole lines, only near the head and the tail of a text, and only what a lexicon knows: an unknown line always stays.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from feilun.corpus.edits import Edit

__all__ = ["furniture", "has_furniture"]

HEAD_LINES = 20
TAIL_LINES = 14
HEAD_CHARS = 500
TAIL_CHARS = 700
MAX_LINE_CHARS = 120
# Words that a line of furniture has; they send a text to the exact look at its lines.
SIGNS = [
    "上一篇", "下一篇", "上壹篇", "相关文章", "相關文章", "相关推荐", "相關推薦", "相关阅读", "相關閱讀", "推荐阅读",
    "推薦閱讀", "延伸阅读", "延伸閱讀", "猜你喜欢", "猜你喜歡", "热门文章", "熱門文章", "最新文章", "版权声明",
    "版權聲明", "转载请注明", "轉載請註明", "转载请", "本文链接", "本文鏈接", "本文網址", "本文网址", "原文链接",
    "原文鏈接", "暂无评论", "暫無評論", "发表评论", "發表評論", "广告也精彩", "廣告", "扫码", "掃碼", "关注公众号",
    "分享到", "点击查看", "阅读原文", "閱讀原文", "责任编辑", "責任編輯", "投递简历", "投遞簡歷", "年前", "月前",
    "周前", "天前", "小时前", "阅读量", "阅读数", "浏览量", "cover of episode", "logo of podcast", "Shownotes",
    "Deep Dive", "All rights reserved", "Share on", "Related Posts", "Leave a comment", "点赞", "點贊", "打赏",
    "返回顶部", "首页", "首頁", "来源", "來源", "发布", "發布", "ICP", "Copyright", "©", "评论", "評論", "个月前", "個月前",
]  # fmt: skip
ANYWHERE = re.compile(
    r"""(?:
      (?:上|下)[一壹](?:篇|頁|页)(?:文章)?(?:\s*[:：]?.{0,60})
    | (?:相[关關](?:文章|推[荐薦]|阅读|閱讀|内容|內容|新[闻聞])|(?:推[荐薦]|延伸)(?:阅读|閱讀))\s*[:：]?
    | (?:猜你喜[欢歡]|[热熱][门門](?:文章|推[荐薦])|最新文章)\s*[:：]?
    | (?:©|\(c\)|（c）)?\s*版[权權](?:声明|聲明|所有).{0,80}
    | .{0,20}(?:转载|轉載|转发|轉發)(?:请|請|时请|時請|须|需)?.{0,8}(?:注明|註明|标明|標明).{0,60}
    | (?:本文|原文|文章)?(?:链接|鏈接|連結|网址|網址|地址|出[处處]|来源|來源)\s*[:：]\s*https?://\S+
    | (?:暂无|暫無|没有|沒有)(?:评论|評論|留言)[.。…]{0,6}
    | (?:发表|發表|查看|添加|我要)(?:评论|評論|留言)|(?:评论|評論|留言)\s*[(（]?\d+[)）]?
    | (?:廣告|广告)(?:也精彩|位)?
    | (?:分享|转发|轉發)(?:到|至)?[:：]?\s*(?:微信|微博|QQ|朋友圈|空间|空間|豆瓣|知乎|Facebook|Twitter|\s|、|/|\|)*
    | (?:点赞|點贊|收藏|打赏|打賞|赞|讚|喜[欢歡])\s*[(（]?\d*[)）]?
    | (?:扫码|掃碼|扫描|掃描|长按|長按).{0,20}(?:关注|關注|二维码|二維碼|下载|下載|加群).{0,20}
    | (?:关注|關注)(?:微信)?(?:公众号|公眾號).{0,30}
    | (?:阅读|閱讀)原文|返回(?:顶部|頂部|首页|首頁|列表)
    | (?:责任|責任)?(?:编辑|編輯)\s*[:：].{1,12}
    | [^\n]{0,100}(?:投递|投遞)(?:简历|簡歷).{0,40}
    | \(0\)|（0）
    | .{0,40}(?:ICP[备備]|公安?网安备).{0,40}|(?:Copyright|©).{0,80}|(?:文章|评论|評論)(?:导航|導航|列表)
    | (?:All\ rights\ reserved|Share\ on|Related\ Posts|Leave\ a\ (?:comment|reply))\b.{0,60}
    )""",
    re.VERBOSE | re.IGNORECASE,
)
HEAD_ONLY = re.compile(
    r"""(?:
      .{0,12}\d+\s*(?:年|[个個]?月|周|天|小[时時]|分[钟鐘])前.{0,40}
    | [\d,.]+[kKwW万萬]?(?:\s+[\d,.]+[kKwW万萬]?)+
    | (?:阅读|閱讀|浏览|瀏覽|点击|點擊)(?:量|数|數|次数)?\s*[:：]?\s*[\d,]+.{0,20}
    | (?:ChatGPT|GPT-?\d?|Claude|AI)\s*(?:国内版|中文版|镜像站?|入口|官网|免费版)
    | 首[页頁]\s*[>»/].{0,60}
    | (?:来源|來源|出处|出處)\s*[:：]\s*\S{1,20}
    | (?:发布|發布|发表|發表|更新|编辑|編輯)(?:于|於|时间|時間|日期)?\s*[:：]?\s*\d{4}\s*[-/.年].{1,30}
    )""",
    re.VERBOSE,
)
# The page of a transcript has lines that elsewhere are headings.
PODCAST = re.compile(
    r"cover of episode\b.{0,100}|logo of podcast\b.{0,60}"
    r"|(?:AI Deep Dive|AI Chapters|Shownotes|Transcript|\s)+|Deep Dive|People|Topics|Chapters"
)
PODCAST_SIGNS = ("cover of episode", "logo of podcast")
# What stands behind one of these near the end of a text belongs to the site too, where it is short.
SECTION = re.compile(
    r"(?:©\s*)?(?:版[权權](?:声明|聲明)|相[关關](?:文章|推[荐薦]|阅读|閱讀)|推[荐薦](?:阅读|閱讀)|猜你喜[欢歡]|[热熱][门門]文章)\s*[:：]?"
)
MAX_BEHIND_CHARS = 40


class Line(NamedTuple):
    start: int
    text: str


def has_furniture(texts: pl.Series) -> pl.Series:
    ends = texts.str.slice(0, HEAD_CHARS) + "\n" + texts.str.slice(-TAIL_CHARS)
    return ends.str.contains_any(SIGNS)


def furniture(text: str) -> Iterator[Edit]:
    head, tail = _first_lines(text, HEAD_LINES), _last_lines(text, TAIL_LINES)
    known = [HEAD_ONLY, PODCAST] if any(sign in text for sign in PODCAST_SIGNS) else [HEAD_ONLY]
    found = {line for line in head if _is_one_of(known, line.text)} | {*_tail(tail)}
    if not found:
        return
    between = text[head[-1].start + len(head[-1].text) : tail[0].start]
    # A text that is nothing else is left to the filters.
    if len(found) == len({*head, *tail}) and not between.strip():
        return
    for start, line in sorted(found):
        yield Edit(start, text[start : start + len(line) + 1], "")


def _first_lines(text: str, num: int) -> list[Line]:
    """The first lines that are not blank."""
    found: list[Line] = []
    start = 0
    while start < len(text) and len(found) < num:
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if line := text[start:end]:
            found += [Line(start, line)] if line.strip() else []
        start = end + 1
    return found


def _last_lines(text: str, num: int) -> list[Line]:
    """The last lines that are not blank, in their order."""
    found: list[Line] = []
    end = len(text)
    while end >= 0 and len(found) < num:
        start = text.rfind("\n", 0, end) + 1
        if line := text[start:end]:
            found += [Line(start, line)] if line.strip() else []
        end = start - 1
    return found[::-1]


def _is_one_of(patterns: Sequence[re.Pattern[str]], line: str) -> bool:
    bare = line.strip()
    return len(bare) <= MAX_LINE_CHARS and any(pattern.fullmatch(bare) for pattern in patterns)


def _tail(lines: Sequence[Line]) -> Iterator[Line]:
    is_behind = False
    for line in lines:
        bare = line.text.strip()
        if _is_one_of([ANYWHERE], bare):
            is_behind = is_behind or SECTION.fullmatch(bare) is not None
            yield line
        elif is_behind and len(bare) <= MAX_BEHIND_CHARS:
            yield line
        else:
            is_behind = False
