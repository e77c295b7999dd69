"""The words of the shop: products, features, tones and what belongs to them, Chinese and English side by side, written for it."""

from collections.abc import Mapping
from typing import NamedTuple

from feilun.primer.words import ADJECTIVES, NOUNS

__all__ = [
    "ANY_FEATURE",
    "ANY_PRODUCT",
    "CATEGORIES",
    "FEATURES",
    "INVITING",
    "POLITE",
    "PRODUCTS",
    "SLANG",
    "TONES",
    "Product",
    "features_of",
]

Pair = tuple[str, str]


class Product(NamedTuple):
    """English names are plural or of a mass, so that no article is needed."""

    zh: str
    en: str
    category: str


# What a careless writer calls a product: (Chinese, English).
CATEGORIES: Mapping[str, Pair] = {
    "fruit": ("水果", "fruit"), "drinks": ("饮料", "drinks"), "food": ("食品", "food"), "stationery": ("文具", "stationery"),
    "furniture": ("家具", "furniture"), "clothing": ("服装", "clothing"), "tableware": ("餐具", "tableware"),
    "devices": ("电器", "devices"), "goods": ("用品", "goods"),
}  # fmt: skip
GOODS = {
    "fruit": "苹果 apples, 香蕉 bananas, 梨 pears, 桃子 peaches, 西瓜 watermelons, 葡萄 grapes",
    "drinks": "茶 tea, 咖啡 coffee, 牛奶 milk, 果汁 juice",
    "food": "面包 bread, 蛋糕 cakes, 鸡蛋 eggs, 饼干 cookies, 糖果 candy",
    "stationery": "笔 pens, 本子 notebooks, 书包 schoolbags",
    "furniture": "桌子 tables, 椅子 chairs, 床 beds, 沙发 sofas, 柜子 cabinets",
    "clothing": "衬衫 shirts, 帽子 hats, 鞋 shoes, 裙子 skirts, 围巾 scarves, 手套 gloves, 外套 coats",
    "tableware": "杯子 cups, 碗 bowls, 盘子 plates, 瓶子 bottles",
    "devices": "灯 lamps, 钟 clocks, 电话 phones, 电脑 computers, 风扇 fans, 相机 cameras, 耳机 headphones",
    "goods": "伞 umbrellas, 镜子 mirrors, 毛巾 towels, 背包 backpacks, 枕头 pillows, 盒子 boxes, 球 balls, 自行车 bicycles",
}


def _pairs(text: str) -> tuple[Pair, ...]:
    return tuple((zh, en) for zh, en in (item.split() for item in text.split(", ")))


PRODUCTS = tuple(Product(zh, en, category) for category, text in GOODS.items() for zh, en in _pairs(text))
# None of these is an adjective of words.py: a dictionary line must not join what only an exam may join.
EVERYWHERE = _pairs("新款 latest, 热门 popular, 经典 classic, 实惠 affordable, 优质 premium, 进口 imported")
TASTY = _pairs("新鲜 fresh, 香甜 sweet, 美味 tasty, 健康 healthy, 天然 natural, 本地 local")
MADE = _pairs(
    "轻便 light, 结实 sturdy, 耐用 durable, 精致 elegant, 小巧 compact, 实用 handy, 百搭 versatile, 可爱 cute, 时尚 stylish, 简洁 simple"
)
SOFT = _pairs("柔软 soft, 舒适 comfortable, 保暖 warm")
CLEVER = _pairs("智能 smart, 省电 efficient")
MORE = {"fruit": TASTY, "drinks": TASTY, "food": TASTY, "clothing": MADE + SOFT, "devices": MADE + CLEVER}
FEATURES = EVERYWHERE + TASTY + MADE + SOFT + CLEVER
# Beyond the shop: whatever the small vocabulary names, so that an ad is learnt as copying from the brief and not as known pairs.
_SOLD = {name for product in PRODUCTS for name in product[:2]}
ANY_PRODUCT = PRODUCTS + tuple(Product(n.zh, n.plural, "goods") for n in NOUNS if not {n.zh, n.plural} & _SOLD)
ANY_FEATURE = FEATURES + ADJECTIVES


def features_of(product: Product) -> tuple[Pair, ...]:
    """What may be said of a product without making anybody laugh."""
    return EVERYWHERE + MORE.get(product.category, MADE)


TONES: Mapping[str, Pair] = {"plain": ("平实", "plain"), "lively": ("活泼", "lively"), "formal": ("正式", "formal")}
INVITING: Mapping[str, tuple[str, ...]] = {
    "zh": ("快来", "试试", "来吧", "赶快", "别错过"),
    "en": ("come", "try", "hurry", "join", "don't miss"),
}
POLITE: Mapping[str, tuple[str, ...]] = {"zh": ("请", "您", "欢迎", "恭候"), "en": ("please", "kindly", "welcome", "invite")}
SLANG: Mapping[str, tuple[str, ...]] = {"zh": ("超赞", "太棒", "哇", "爆款"), "en": ("awesome", "wow", "super", "gonna")}
