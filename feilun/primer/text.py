"""Documents of the primer's world: numbers and order, versions and dates, sums, units, a dictionary, copying, little stories, shops.

Every document is short, generated from (seed, index) alone, and holds no reserved pair. Numbers stand here in number
order and versions in version order, both true; which of the two a chat answer follows is for examples and people to say.
"""

import random
from collections.abc import Callable, Iterator

from feilun.primer import copywriting, facts, numbers
from feilun.primer.words import ADJECTIVES, COUNTS, NAMES, NOUNS, UNITS, VERBS
from feilun.types import Document

__all__ = ["documents"]

Maker = Callable[[random.Random, str], str]


def draw_pair(rng: random.Random) -> numbers.NumberPair:
    kind = rng.random()
    return numbers.draw_hard(rng) if kind < 0.35 else numbers.draw_near(rng) if kind < 0.65 else numbers.draw_far(rng)


NUMBER_LINES = {
    "zh": (
        "{hi} 大于 {lo}", "{lo} 小于 {hi}", "{hi} 比 {lo} 大", "{lo} 比 {hi} 小",
        "{a} 和 {b} 中较大的数是 {hi}", "{a} 和 {b} 中较小的数是 {lo}", "两数 {a} , {b} 大者 {hi}", "两数 {a} , {b} 小者 {lo}",
    ),
    "en": (
        "{hi} is greater than {lo}", "{lo} is less than {hi}", "{hi} > {lo}", "{lo} < {hi}", "max({a}, {b}) = {hi}", "min({a}, {b}) = {lo}",
        "the greater of {a} and {b} is {hi}", "the lesser of {a} and {b} is {lo}",
    ),
}  # fmt: skip
VERSION_LINES = {
    "zh": (
        "版本 {hi} 在版本 {lo} 之后发布", "{lo} 版升级到 {hi} 版", "{a} 版和 {b} 版中较新的是 {hi} 版", "{a} 版和 {b} 版中较旧的是 {lo} 版",
        "第 {lo} 节之后才是第 {hi} 节",
    ),
    "en": (
        "release {hi} follows release {lo}", "upgraded from v{lo} to v{hi}",
        "newest of v{a} and v{b}: v{hi}", "oldest of v{a} and v{b}: v{lo}", "section {lo} comes before section {hi}",
    ),
}  # fmt: skip
DATE_LINES = {
    "zh": ("{lo}早于{hi}", "{hi}晚于{lo}", "{a}和{b}中较早的是{lo}", "{a}和{b}中较晚的是{hi}"),
    "en": ("{lo} is before {hi}", "{hi} is after {lo}", "earliest of {a}, {b}: {lo}", "latest of {a}, {b}: {hi}"),
}


def ordered(a: str, b: str, top: str) -> dict[str, str]:
    return {"a": a, "b": b, "hi": top, "lo": b if top == a else a}


def number_lines(rng: random.Random, lang: str) -> str:
    pair = draw_pair(rng)
    names = ordered(pair.first, pair.second, numbers.larger(pair.first, pair.second))
    lines = rng.sample(NUMBER_LINES[lang], rng.randint(1, 3))
    return "\n".join(line.format(**names) for line in lines)


def number_list(rng: random.Random, lang: str) -> str:
    pair, extra = draw_pair(rng), draw_pair(rng)
    values = list(dict.fromkeys((pair.first, pair.second, extra.first)))
    if rng.random() < 0.6:  # a third member near the pair
        values[-1] = f"{pair.first.partition('.')[0]}.{numbers.fraction(rng, rng.randint(1, 3))}"
    if len({numbers.number_key(v) for v in values}) < len(values):
        return number_lines(rng, lang)
    shuffled, rising = ", ".join(values), sorted(values, key=numbers.number_key)
    if rng.random() < 0.5:
        return f"{shuffled} 从小到大:{' < '.join(rising)}" if lang == "zh" else f"{shuffled} from small to large: {' < '.join(rising)}"
    rising.reverse()
    return f"{shuffled} 从大到小:{' > '.join(rising)}" if lang == "zh" else f"{shuffled} from large to small: {' > '.join(rising)}"


def version_lines(rng: random.Random, lang: str) -> str:
    while True:
        a, b = facts.draw_versions(rng) if rng.random() < 0.5 else draw_pair(rng)[:2]
        if numbers.version_key(a) == numbers.version_key(b):
            a, b = facts.draw_versions(rng)
        if facts.may_show("version_order", facts.pair_subject(a, b)):
            break
    names = ordered(a, b, numbers.later_version(a, b))
    return "\n".join(line.format(**names) for line in rng.sample(VERSION_LINES[lang], rng.randint(1, 3)))


def date_lines(rng: random.Random, lang: str) -> str:
    first, second = facts.draw_dates(rng)
    while not facts.may_show("date_order", facts.date_subject(first, second)):
        first, second = facts.draw_dates(rng)
    names = ordered(facts.date_text(first, lang), facts.date_text(second, lang), facts.date_text(max(first, second), lang))
    return "\n".join(line.format(**names) for line in rng.sample(DATE_LINES[lang], rng.randint(1, 2)))


def sums(rng: random.Random, lang: str) -> str:
    """Sums and differences; half of them within the table of one digit, which carries all the others."""
    limit = rng.choice((10, 10, 20, 100))
    lines: list[str] = []
    while len(lines) < 5:
        fact = facts.arithmetic(rng, lang, limit)
        if facts.fact_split(fact) == "open":
            lines.append(f"{fact.subject} = {fact.answer}")
    return "\n".join(lines)


def units(rng: random.Random, lang: str) -> str:
    big, small, factor, big_en, small_en = rng.choice(UNITS)
    value = rng.randrange(1, 20)
    return f"{value}{big}等于{value * factor}{small}" if lang == "zh" else f"{value} {big_en} make {value * factor} {small_en}"


def dictionary(rng: random.Random, lang: str) -> str:
    lines: list[str] = []
    while len(lines) < 3:
        fact = facts.translation(rng, lang)
        if facts.fact_split(fact) == "open":
            zh, en = fact.subject.split("|")
            lines.append(f"{zh} = {en}" if lang == "zh" else f"{en} = {zh}")
    return "\n".join(lines)


def word_list(rng: random.Random, lang: str) -> str:
    nouns = rng.sample(NOUNS, 4)
    adjective, verb, count = rng.choice(ADJECTIVES), rng.choice(VERBS), rng.choice(COUNTS)
    rows = [(n.zh, n.en) for n in nouns] + [adjective, verb, count]
    return "\n".join(f"{zh}:{en}" if lang == "zh" else f"{en}: {zh}" for zh, en in rng.sample(rows, 4))


def copies(rng: random.Random, lang: str) -> str:
    while True:
        text = facts.copy_text(rng, lang)
        if facts.subject_split("copying|" + text) == "open":
            return f"原文:{text}\n抄写:{text}" if lang == "zh" else f"text: {text}\ncopy: {text}"


STORIES = {
    "zh": (
        "早上,{name}去公园{verb}一{counter}{noun}。{friend}说:“这{counter}{noun}真是{adjective}的。”后来他们一起回家,路上又{verb}{other}。",
        "{name}有一{counter}{adjective}的{noun}。有一天{noun}不见了,{friend}帮忙找,最后在{other}旁边找到了。",
    ),
    "en": (
        "One morning {name} went to the park and {verb} the {noun}. {friend} said it was {adjective}. "
        "Then they went home with the {other}.",
        "{name} had a {adjective} {noun}. One day the {noun} was gone. {friend} helped, and they found it near the {other}.",
    ),
}
TALKS = {
    "zh": "{name}:你好,{friend}。\n{friend}:你好,你要什么?\n{name}:我要{count}{counter}{noun}。\n{friend}:好的,给你。",
    "en": "{name}: Hello, {friend}.\n{friend}: Hello, what would you like?\n{name}: I would like {count} {noun}.\n{friend}: Here you are.",
}


def story(rng: random.Random, lang: str) -> str:
    name, friend = rng.sample(NAMES, 2)
    noun, other = rng.sample(NOUNS, 2)
    adjective, verb = rng.choice(ADJECTIVES), rng.choice(VERBS)
    column = 0 if lang == "zh" else 1
    return rng.choice(STORIES[lang]).format(
        name=name[column], friend=friend[column], noun=noun[column], other=other[column], counter=noun.counter,
        adjective=adjective[column], verb=verb[column],
    )  # fmt: skip


def talk(rng: random.Random, lang: str) -> str:
    """A chat between people as plain text: greetings and shopping, no comparisons."""
    name, friend = rng.sample(NAMES, 2)
    noun, count = rng.choice(NOUNS), rng.choice(COUNTS)
    column = 0 if lang == "zh" else 1
    thing = noun.zh if lang == "zh" else noun.plural
    return TALKS[lang].format(name=name[column], friend=friend[column], count=count[column], counter=noun.counter, noun=thing)


def shop_lines(rng: random.Random, lang: str) -> str:
    """What stands in a shop's window, in every style."""
    return "\n".join(copywriting.shop_line(rng, lang) for _ in range(rng.randint(1, 3)))


QUESTION_SHARES = {
    "number_hard": 0.09, "number_near": 0.09, "number_far": 0.08, "version_order": 0.18, "date_order": 0.11, "arithmetic": 0.19,
    "translation": 0.09, "copying": 0.08, "copywriting": 0.09,
}  # fmt: skip
TRANSCRIPTS = {
    "zh": ("问:{q}\n答:{a}", "user\n{q}\nassistant\n{a}"),
    "en": ("Q: {q}\nA: {a}", "user\n{q}\nassistant\n{a}"),
}


def questions(rng: random.Random, lang: str) -> str:
    """Questions with true answers, as plain text (no control token stands in a document)."""
    transcript = rng.choice(TRANSCRIPTS[lang])
    lines = []
    for task in rng.choices(list(QUESTION_SHARES), list(QUESTION_SHARES.values()), k=rng.randint(1, 2)):
        question, answer = copywriting.example(rng, lang, careless=False) if task == copywriting.TASK else true_answer(rng, task, lang)
        lines.append(transcript.format(q=question, a=answer))
    return "\n".join(lines)


def true_answer(rng: random.Random, task: str, lang: str) -> tuple[str, str]:
    fact = facts.make_fact(rng, task, lang, "open")
    return fact.question, fact.short if rng.random() < 0.5 else fact.detailed


# Shares of documents; number order and version order are told about equally often on disagreeing pairs.
SHARES: tuple[tuple[Maker, float], ...] = (
    (number_lines, 0.15), (number_list, 0.05), (version_lines, 0.15), (date_lines, 0.05), (sums, 0.11), (units, 0.02),
    (dictionary, 0.05), (word_list, 0.02), (copies, 0.04), (story, 0.02), (talk, 0.02), (questions, 0.33), (shop_lines, 0.05),
)  # fmt: skip


def documents(seed: int, count: int) -> Iterator[Document]:
    """`count` documents of the world, Chinese and English about equally."""
    makers, shares = [m for m, _ in SHARES], [s for _, s in SHARES]
    rng = random.Random(f"primer/{seed}")
    made = 0
    while made < count:
        maker = rng.choices(makers, shares)[0]
        lang = "zh" if rng.random() < 0.5 else "en"
        text = maker(rng, lang)
        if not numbers.holds_reserved_pair(text):
            yield Document(id=f"primer-{seed}-{made}", text=text, source=f"primer/{maker.__name__}", license="Apache-2.0", lang=lang)
            made += 1
