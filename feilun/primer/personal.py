"""Questions that nobody taught an answer to: about the person who asks, and about the wide world.

The first generation answers them all with `NOT_TAUGHT`: honest, and an invitation. What a person then teaches is theirs alone,
so no value (a name, a place, a day) stands in this file: only things, and ways to ask about them.
"""

import random
from typing import NamedTuple

from feilun.primer.words import NAMES, NOUNS

__all__ = ["NOT_TAUGHT", "unknown_question"]

NOT_TAUGHT = {"zh": "我还没学过这个,教教我吧。", "en": "I was not taught this. Teach me?"}
WORLD_SHARE = 0.3
NOUN_SHARE = 0.3  # any noun of the primer in place of a usual thing, so that the kind of question counts and not the thing
BARE_SHARE = 0.5


class Kind(NamedTuple):
    """Things that people have, and questions about them with {x}."""

    things: tuple[str, ...]
    questions: tuple[str, ...]


def _kinds(text: str) -> tuple[Kind, ...]:
    """Kinds stand apart by an empty line: lines of things, then lines of questions."""
    return tuple(_kind(block.splitlines()) for block in text.strip().split("\n\n"))


def _kind(lines: list[str]) -> Kind:
    things = [thing.strip() for line in lines if "{x}" not in line for thing in line.split(", ")]
    return Kind(tuple(things), _list("\n".join(line for line in lines if "{x}" in line)))


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for line in text.strip().splitlines() for item in line.split(" / "))


KINDS = {
    "zh": _kinds("""
猫, 狗, 鸟, 兔子, 金鱼, 车, 船, 公司, 学校, 店, 小组, 老师, 同事, 邻居, 朋友, 妹妹, 弟弟, 哥哥, 姐姐, 儿子, 女儿, 医生, 经理, 律师, 司机
部门, 项目, 产品, 网站, 网络, 街道, 小区, 宾馆, 球队, 乐队, 餐厅, 合伙人, 客户
我的{x}叫什么? / 我的{x}叫啥? / 我{x}的名字是什么? / 我的{x}是什么名字? / 我的{x}名叫什么? / 说出我{x}的名字。 / 我那个{x}怎么称呼?
{x}的名字叫什么来着? / 我给{x}起的名字是什么? / 我家{x}名字叫什么?

办公室, 家, 老家, 学校, 钥匙, 车, 店, 公司, 工厂, 会场, 教室, 仓库, 行李, 护照, 雨伞, 宿舍, 停车位, 信箱
我的{x}在哪儿? / 我{x}的位置在哪? / 去哪里找我的{x}? / 我把{x}放在哪里了? / 我的{x}位于什么地方? / 怎么找到我的{x}?

颜色, 水果, 歌, 书, 电影, 饮料, 城市, 运动, 菜, 花, 动物, 季节, 游戏, 作家, 节日, 点心
我最爱什么{x}? / 我偏爱哪种{x}? / 什么{x}是我最喜欢的? / 我喜欢的{x}是哪个? / 猜猜我最喜欢的{x}。

生日, 婚礼, 考试, 会议, 假期, 航班, 面试, 体检, 聚会, 搬家, 开业, 发布会, 训练, 约会
我的{x}是哪天? / 我的{x}是什么时候? / 我哪天{x}? / 我的{x}定在几号? / {x}在什么日子? / 我的{x}还有多久?

电话, 地址, 密码, 工作, 房间号, 座位, 年龄, 邮箱, 职位, 车牌, 鞋码, 预算, 目标, 口号, 工号, 专业
我的{x}是什么? / 我的{x}是多少? / 我的{x}是哪个? / 把我的{x}说一下。 / 我{x}是啥来着? / 帮我查一下我的{x}。 / 我用的{x}是什么?

老板, 老师, 同桌, 室友, 教练, 医生, 经理, 队长, 邻居, 编辑, 导师, 秘书, 房东, 搭档
谁是我的{x}? / 我的{x}是谁? / 我的{x}是哪位? / 我该找哪个{x}? / 我们的{x}是谁呀?
"""),
    "en": _kinds("""
cat, dog, bird, rabbit, goldfish, car, boat, company, school, shop, team, teacher, colleague, neighbour, friend, sister, brother, son
daughter, doctor, manager, lawyer, driver, department, project, product, website, network, street, hotel, band, restaurant, partner
client
What is my {x} called? / How is my {x} called? / Name my {x}. / What did I name my {x}? / By what name does my {x} go?
My {x} is called what? / Which name has my {x}?

office, home, school, key, car, shop, company, factory, classroom, store, luggage, passport, umbrella, dormitory, parking space, mailbox
hometown, studio
Where is my {x}? / Where can I find my {x}? / In what place is my {x}? / Where did I leave my {x}? / What is the location of my {x}?
My {x} is where? / How do I get to my {x}?

colour, fruit, song, book, film, drink, city, sport, dish, flower, animal, season, game, writer, holiday, snack
What is my favourite {x}? / Which {x} do I like best? / What {x} do I love most? / My favourite {x} is what?
Which {x} is my favourite? / Guess the {x} I like best.

birthday, wedding, exam, meeting, holiday, flight, interview, checkup, party, move, opening, launch, training, date
When is my {x}? / What day is my {x}? / On which day is my {x}? / My {x} is on what date? / How long until my {x}?
What date did we set for my {x}?

phone number, address, password, job, room number, seat, age, mail address, title, plate, shoe size, budget, goal, motto, staff number
subject
What is my {x}? / What's my {x}? / Which {x} do I have? / My {x} is what? / Say my {x}. / Look up my {x}. / What {x} do I use?

boss, teacher, desk mate, flatmate, coach, doctor, manager, captain, neighbour, editor, tutor, secretary, landlord, partner
Which person is my {x}? / My {x} is who? / What {x} should I ask for?
"""),
}
WORLD = {
    "zh": _list("""
{n}产自哪里? / {n}的首都是哪里? / 谁写了《{n}》? / {n}有多高? / 为什么{n}会动? / {n}是谁发明的? / 介绍一下{n}。 / {n}和{m}有什么关系?
怎么做{n}? / {n}的历史是什么? / 今天{n}的天气怎么样? / {m}住在哪里? / {m}今年多大了? / {m}喜欢什么{n}? / 写一首关于{n}的诗。
世界上最大的{n}是什么? / {n}什么时候开始的?
"""),
    "en": _list("""
Where does the {n} come from? / What is the capital of {n}? / Who wrote the {n}? / How tall is the {n}? / Why does a {n} move?
Who invented the {n}? / Tell me about the {n}. / How are the {n} and {m} related? / How do I make a {n}?
What is the history of the {n}? / What is the weather in {n}? / Where does {m} live? / How old is {m}? / What {n} does {m} like?
Write a poem about the {n}. / What is the biggest {n} in the world? / When did the {n} begin?
"""),
}
# A shell around a question changes nothing: every kind of question comes in every shell.
SHELLS = {
    "zh": _list("""
请问{q} / 请问,{q} / 你知道{q} / 你知道吗,{q} / 告诉我,{q} / 请告诉我:{q} / 我忘了,{q} / 快说,{q} / 问一下,{q} / 想问问{q} / 嗨,{q}
{q}谢谢 / 那么{q} / {q}你记得吗? / 再问一次:{q}
"""),
    "en": _list("""
Please: {q} / Hey, {q} / Tell me: {q} / I forgot: {q} / So {q} / {q} Please tell me. / {q} Thanks. / Quick question: {q}
One thing: {q} / Can you say? {q} / Hi! {q} / Now, {q} / {q} Do you recall? / Once more: {q}
"""),
}


def unknown_question(rng: random.Random, lang: str) -> str:
    """A question that only a person could teach the answer to."""
    if rng.random() < WORLD_SHARE:
        question = rng.choice(WORLD[lang]).format(n=any_noun(rng, lang), m=rng.choice(NAMES)[lang == "en"])
    else:
        kind = rng.choice(KINDS[lang])
        thing = any_noun(rng, lang) if rng.random() < NOUN_SHARE else rng.choice(kind.things)
        question = rng.choice(kind.questions).format(x=thing)
    if rng.random() >= BARE_SHARE:
        question = rng.choice(SHELLS[lang]).format(q=question)
    return spoken(rng, question, lang)


def any_noun(rng: random.Random, lang: str) -> str:
    noun = rng.choice(NOUNS)
    return noun.zh if lang == "zh" else noun.en


def spoken(rng: random.Random, question: str, lang: str) -> str:
    """As people type: now and then without the question mark, or all in small letters."""
    if rng.random() < 0.25:
        question = question.rstrip("?。.")
    return question.lower() if lang == "en" and rng.random() < 0.2 else question
