"""Which language a reader wants, and the server's own sentences in it.

Sentences are written in English where the thing happens, by rooms that know no reader, and logs, terminals and programs get them as they
are. A page gets them in its reader's language: CHINESE holds those that a person at the page can meet. What it does not know stays English.
"""

import re
from functools import cache

from fastapi import Request

from feilun.serve.words import LANGUAGES

__all__ = ["CHINESE", "language_of", "page_language", "preferred", "said"]

# Longer ones are not the server's own: a hole would look through all of it.
MAX_SENTENCE_CHARS = 2000

# {holes} are the sentence's variable parts; one of them may itself be a sentence. The first that fits is taken.
CHINESE = {
    # engines elsewhere
    "engine {engine}: {what}": "引擎 {engine}：{what}",
    "it broke off with an error: {detail}": "它报错中断了：{detail}",
    "it broke off with an error": "它报错中断了",
    "it broke off in the middle of its answer (no finish_reason, no [DONE])": "它的回答说到一半断了（没有 finish_reason，也没有 [DONE]）",
    "it ended its answer before it began (no finish_reason, no [DONE])": "它还没开口就结束了（没有 finish_reason，也没有 [DONE]）",
    "it did not finish its answer (finish_reason {reason})": "它没有把回答说完（finish_reason {reason}）",
    "it does not accept the key ({status})": "它不接受这个密钥（{status}）",
    "the key may not do this ({status})": "这个密钥没有权限（{status}）",
    "it knows no such model or address ({status})": "它那里没有这个模型或地址（{status}）",
    "it is busy ({status})": "它正忙（{status}）",
    "it failed ({status})": "它出错了（{status}）",
    "it refused the request ({status})": "它拒绝了这个请求（{status}）",
    "it sent an answer that is not JSON": "它的回答不是 JSON",
    "it sent {what}": "它发来的是 {what}",
    "it does not list {model}, but {models}": "它的列表里没有 {model}，有的是 {models}",
    "{url} sends elsewhere ({status}); register the URL that it names, if you trust it": (
        "{url} 转到了别处（{status}）；信得过的话，请改填它给出的地址"
    ),
    "no connection to {url} in time": "没有及时连上 {url}",
    "{url} stayed silent for too long": "{url} 太久没有回音",
    "connection refused at {url}": "{url} 拒绝连接，那里没有服务在运行",
    "no such host at {url}": "找不到主机：{url}",
    "no secure connection ({why}) at {url}": "与 {url} 的安全连接没有建立（{why}）",
    "no connection ({why}) at {url}": "连不上 {url}（{why}）",
    "no connection at {url}": "连不上 {url}",
    "the connection to {url} broke ({why})": "与 {url} 的连接断了（{why}）",
    "{url} answers with a web page, not with an API's answer; is the URL right?": "{url} 回的是网页，不是接口的回答；地址对吗？",
    "no list of models at {url} and {other}; is the URL right?": "{url} 和 {other} 都没有模型列表；地址对吗？",
    "no list of models at {url}; is the URL right?": "{url} 没有模型列表；地址对吗？",
    "{url} lists no model; say which one to ask for": "{url} 没有列出模型；请写明要用哪一个",
    "{url} serves {models}; say which one to ask for": "{url} 有 {models}；请写明要用哪一个",
    "{url} is not a URL ({why}); give one such as http://127.0.0.1:8000/v1": "{url} 不是地址（{why}）；应当像 http://127.0.0.1:8000/v1",
    "{url} is not the URL of an API; give http:// or https:// and a host, such as http://127.0.0.1:8000/v1": (
        "{url} 不是接口地址；请写 http:// 或 https:// 加主机，例如 http://127.0.0.1:8000/v1"
    ),
    "the URL holds a name or password, and URLs are shown and logged; give the key by itself": (
        "地址里有用户名或密码，而地址会显示、会写进日志；请把密钥单独填"
    ),
    "the URL has something after ? or #, which is not kept secret; leave it out and give the key by itself": (
        "地址里 ? 或 # 之后还有内容，那不会保密；请去掉它，把密钥单独填"
    ),
    "an engine's name is 1 to 32 of a-z, 0-9 and '-', found {name}": "引擎的名字是 1 到 32 个 a-z、0-9 或“-”，这里是 {name}",
    "the name {name} means something else here; take another one for the engine": "{name} 在这里另有所指，请给引擎换个名字",
    "the engine {name} is there already, at {url}; remove it first, or take another name": (
        "引擎 {name} 已经有了（{url}）；请先移除它，或换个名字"
    ),
    "the engine {name} is there already; remove it first, or take another name": "引擎 {name} 已经有了；请先移除它，或换个名字",
    "the name {name} belonged to {url}, whose answers are kept; take another name for {other}": (
        "{name} 是 {url} 用过的名字，它的回答还留着；请给 {other} 换个名字"
    ),
    "the engine's key must be at most {n} printable ASCII characters without spaces": "密钥最多 {n} 个可见的 ASCII 字符，不能有空格",
    "there is no engine {name}": "没有引擎 {name}",
    # asking
    "the engine failed on this request; the server's log says why": "引擎在回答时出错了，原因在服务器的日志里",
    "the server failed on this request; its log says why": "服务器出错了，原因在它的日志里",
    "the request was cancelled": "这次请求被取消了",
    "the answer could not be recorded, so it was withheld; try again": "回答没能存下来，所以没有给出；请再试一次",
    "no model has been made yet; the page shows how far it is": "还没有做好的模型，页面上能看到进度",
    "{active} answers are running or waiting and {n} are allowed; try again shortly": (
        "已有 {active} 个回答在进行或排队，最多 {n} 个；请稍后再试"
    ),
    "{who} may do this {n} times a minute and has; try again in {seconds} seconds": (
        "{who} 一分钟最多 {n} 次，已经用完；请在 {seconds} 秒后再试"
    ),
    "{open} readers follow this answer and {n} are allowed; close some of them": "已有 {open} 个页面在读这个回答，最多 {n} 个；请关掉几个",
    "this model's context holds {n} tokens; your messages are {m} and leave no room to answer": (
        "这个模型最多读 {n} 个词元，你的话有 {m} 个，没有地方回答了；请写短一些"
    ),
    "this conversation holds {m} messages, {n} are allowed; begin a new one": "这个对话已有 {m} 条消息，最多 {n} 条；请开始新的对话",
    "{path}: {why}; nothing was stored: {advice}": "什么也没有存下（{path}：{why}）：{advice}",
    "another process holds the write lock; try again, or stop the process that hangs": "另一个进程占着写锁；请再试，或停掉卡住的进程",
    "the disk is full; free some space, then try again": "磁盘满了；请腾出空间再试",
    "the home is not writable; check owner and permissions": "数据目录写不进去；请检查所有者和权限",
    # the champion
    "UserError: {what}": "{what}",
    "{model} was erased; promote another model": "{model} 已被删除；请换上另一个模型",
    "{model} is not whole: {faults}; make it again or roll back": "{model} 不完整：{faults}；请重做，或退回上一个",
    "there is no champion to roll back from": "还没有模型，无从退回",
    "there is no other model before {model} to go back to": "{model} 之前没有别的模型可退",
    # turns
    "the demo's own turns run first, and your lessons take part in them; ask again when the ring has turned": (
        "演示自己的几轮先转，你的课也在其中；转完之后再试"
    ),
    "the model of the last turn is still being tried by people; one rollout ends before the next turn": (
        "上一轮的模型还在逐步试用；试用完再转下一轮"
    ),
    "nobody watches for requests: run `feilun turn --watch`, or serve without --no-watch": (
        "没有人等着转动：请运行 feilun turn --watch，或去掉 --no-watch 重新 feilun serve"
    ),
    "there is no champion yet that could learn; promote a model first": "还没有模型可以学；请先换上一个",
    "there is no champion to start from; promote a model first: feilun promote REF": "没有可以出发的模型；请先换上一个：feilun promote REF",
    "a turn repeats the examples that made the first model; name their lessons: --set prefer.replay=REF": (
        "转动时要重温做出第一个模型的例子；请指明它们：--set prefer.replay=REF"
    ),
    "there are no lessons yet: no feedback that may teach": "还没有课：没有可以用来教的反馈",
    "the champion changed during the turn: {why}": "转动期间模型被换掉了：{why}",
    "the champion is at epoch {n}, not {m}: somebody promoted in between; decide again": (
        "现在是第 {n} 次换上，不是第 {m} 次：中间有人换过；请再转一轮"
    ),
    "abandoned: {why}": "放弃了：{why}",
    "given up after {n} tries: {why}": "试了 {n} 次都没有成：{why}",
    "step {step} of turn {turn} was killed by signal {n}: {why}; run `feilun turn` again to go on from there": (
        "{step} 这一步被信号 {n} 终止（{why}）；运行 feilun turn 可以接着转"
    ),
    "step {step} of turn {turn} was killed by signal {n}; run `feilun turn` again to go on from there": (
        "{step} 这一步被信号 {n} 终止；运行 feilun turn 可以接着转"
    ),
    "step {step} of turn {turn} ended with status {n}: {why}; run `feilun turn` again to go on from there": (
        "{step} 这一步出错退出，状态 {n}（{why}）；运行 feilun turn 可以接着转"
    ),
    "step {step} of turn {turn} ended with status {n}; run `feilun turn` again to go on from there": (
        "{step} 这一步出错退出，状态 {n}；运行 feilun turn 可以接着转"
    ),
    "step {step}: bad input: {what}": "{step} 这一步收到的输入不能用：{what}",
    # what stands behind many of them
    "{what}; try again in {n} seconds": "{what}；请在 {n} 秒后再试",
    "{what}; try again shortly": "{what}；请稍后再试",
}


def language_of(request: Request) -> str:
    """zh or en: the reader's own choice (cookie), else the first that Accept-Language prefers."""
    chosen = request.cookies.get("feilun_lang")
    return chosen if chosen in LANGUAGES else preferred(request.headers.get("accept-language", ""))


def page_language(request: Request) -> str:
    """The same for our own page, which bears a cookie; a program bears none, and gets English whatever it prefers."""
    return language_of(request) if request.cookies else "en"


def preferred(header: str) -> str:
    ranked = []
    for position, item in enumerate(header.split(",")):
        match = re.fullmatch(r"\s*([A-Za-z]+)[A-Za-z0-9-]*\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?", item)
        if match and match[1].lower() in LANGUAGES:
            ranked.append((-float(match[2] or 1), position, match[1].lower()))
    return min(ranked)[2] if ranked else "en"


def said(sentence: str, language: str) -> str:
    """A sentence of the server's in this language, as far as it is known there."""
    if language != "zh" or len(sentence) > MAX_SENTENCE_CHARS:
        return sentence
    for pattern, chinese in _patterns():
        if match := pattern.fullmatch(sentence):
            return chinese.format(**{hole: said(part, language) for hole, part in match.groupdict().items()})
    return sentence


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((_pattern(english), chinese) for english, chinese in CHINESE.items())


def _pattern(english: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", english)
    return re.compile("".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL)
