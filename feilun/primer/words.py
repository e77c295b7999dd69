"""The small vocabulary of the primer's world: Chinese and English side by side, written for it."""

from typing import NamedTuple

__all__ = ["ADJECTIVES", "COUNTS", "NAMES", "NOUNS", "UNITS", "VERBS", "Noun"]


class Noun(NamedTuple):
    zh: str
    en: str
    plural: str
    counter: str


def _nouns(text: str) -> tuple[Noun, ...]:
    rows = [row.split() for row in text.strip().splitlines()]
    return tuple(Noun(zh, en, plural, counter) for zh, en, plural, counter in rows)


NOUNS = _nouns("""
猫 cat cats 只
狗 dog dogs 只
鸟 bird birds 只
鱼 fish fish 条
马 horse horses 匹
牛 cow cows 头
羊 sheep sheep 只
兔子 rabbit rabbits 只
老虎 tiger tigers 只
猴子 monkey monkeys 只
鸡 chicken chickens 只
鸭子 duck ducks 只
苹果 apple apples 个
香蕉 banana bananas 根
梨 pear pears 个
桃子 peach peaches 个
西瓜 watermelon watermelons 个
葡萄 grape grapes 颗
鸡蛋 egg eggs 个
面包 loaf loaves 个
蛋糕 cake cakes 块
书 book books 本
笔 pen pens 支
本子 notebook notebooks 本
桌子 table tables 张
椅子 chair chairs 把
床 bed beds 张
灯 lamp lamps 盏
门 door doors 扇
窗户 window windows 扇
房子 house houses 座
车 car cars 辆
船 boat boats 条
飞机 plane planes 架
火车 train trains 列
自行车 bicycle bicycles 辆
衣服 shirt shirts 件
帽子 hat hats 顶
鞋 shoe shoes 只
裙子 skirt skirts 条
伞 umbrella umbrellas 把
杯子 cup cups 个
碗 bowl bowls 个
盘子 plate plates 个
瓶子 bottle bottles 个
盒子 box boxes 个
花 flower flowers 朵
树 tree trees 棵
山 mountain mountains 座
河 river rivers 条
石头 stone stones 块
星星 star stars 颗
钟 clock clocks 座
电话 phone phones 部
电脑 computer computers 台
球 ball balls 个
画 picture pictures 张
信 letter letters 封
钥匙 key keys 把
镜子 mirror mirrors 面
""")
ADJECTIVES = (
    ("红色", "red"), ("蓝色", "blue"), ("绿色", "green"), ("黄色", "yellow"), ("白色", "white"), ("黑色", "black"),
    ("漂亮", "pretty"), ("干净", "clean"), ("新买", "new"), ("古老", "old"), ("巨大", "huge"), ("小小", "small"),
    ("昂贵", "costly"), ("便宜", "cheap"), ("安静", "quiet"), ("奇怪", "strange"),
)  # fmt: skip
COUNTS = (
    ("两", "two"), ("三", "three"), ("四", "four"), ("五", "five"), ("六", "six"), ("七", "seven"), ("八", "eight"), ("九", "nine"),
)  # fmt: skip
VERBS = (("看见", "sees"), ("喜欢", "likes"), ("找到", "finds"), ("带来", "brings"), ("需要", "needs"), ("画", "draws"))
NAMES = (
    ("小明", "Ming"), ("小红", "Hong"), ("小华", "Hua"), ("小丽", "Li"), ("小刚", "Gang"), ("小梅", "Mei"),
    ("阿强", "Qiang"), ("阿兰", "Lan"),
)  # fmt: skip
# (unit, smaller unit, factor, English unit, English smaller unit)
UNITS = (
    ("米", "厘米", 100, "metres", "centimetres"),
    ("公里", "米", 1000, "kilometres", "metres"),
    ("公斤", "克", 1000, "kilograms", "grams"),
    ("小时", "分钟", 60, "hours", "minutes"),
    ("分钟", "秒", 60, "minutes", "seconds"),
    ("元", "角", 10, "yuan", "jiao"),
)
