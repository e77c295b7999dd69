"""A made set of sentences with personal data, and of numbers that only look like it: for `benchmarks.redact` and the tests.

Values and checksums are made by other code than that which looks for them; a seed gives the same set everywhere. No library but
the standard one is needed, so that a peer's own environment can make it too.
"""

import itertools
import random
import re
import string
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["KINDS", "Item", "make_items", "negatives", "positives"]

HEXES = "0123456789abcdef"
KINDS = ("email", "phone", "id_card", "bank_card", "company", "wechat", "qq", "ip", "private_ip", "secret")


class Item(NamedTuple):
    """kind "" is a number that only looks like one: nothing may change."""

    before: str
    value: str
    after: str
    kind: str
    form: str

    @property
    def text(self) -> str:
        return self.before + self.value + self.after


# Values ---------------------------------------------------------------------------------------------------------------------


def digits(dice: random.Random, count: int) -> str:
    return "".join(dice.choices(string.digits, k=count))


def identity_card(dice: random.Random) -> str:
    place = dice.choice(
        ["110101", "310115", "440305", "510104", "330106", "320505", "420111", "610113", "350203", "210102", "650102", "820000", "810000"]
    )
    day = f"{dice.randint(1935, 2020)}{dice.randint(1, 12):02}{dice.randint(1, 28):02}"
    body = place + day + digits(dice, 3)
    # ISO 7064 by its recursion, digit after digit.
    rest = 0
    for digit in body:
        rest = (rest + int(digit)) * 2 % 11
    return body + "0123456789X"[(12 - rest) % 11]


def luhn_digit(body: str) -> str:
    doubled = "0246813579"
    total = sum(int(doubled[int(d)] if place % 2 == 0 else d) for place, d in enumerate(body[::-1]))
    return str((10 - total % 10) % 10)


def bank_card(dice: random.Random) -> str:
    prefix, length = dice.choice(
        [
            ("622202", 19),
            ("621700", 19),
            ("622848", 19),
            ("625912", 16),
            ("621661", 19),
            ("6217", 18),
            ("4", 16),
            ("52", 16),
            ("2345", 16),
            ("37", 15),
            ("3530", 16),
            ("9558801", 19),
        ]
    )
    body = prefix + digits(dice, length - 1 - len(prefix))
    return body + luhn_digit(body)


def company_code(dice: random.Random) -> str:
    letters = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    body = dice.choice(["MA", "MA", "MB", "78", "10", "55"]) + "".join(dice.choices("0123456789" * 3 + "ABCDEFGHJK", k=6))
    check = 11 - sum(w * (int(c) if c.isdigit() else ord(c) - 55) for w, c in zip([3, 7, 9, 10, 5, 8, 4, 2], body, strict=True)) % 11
    code = (
        dice.choice(["91", "92", "93", "51", "12", "11"]) + dice.choice(["110108", "310115", "440300", "330100", "510100", "410105"]) + body
    )
    code += {10: "X", 11: "0"}.get(check, str(check))
    total, weight = 0, 1
    for c in code:
        total, weight = total + letters.index(c) * weight, weight * 3 % 31
    return code + letters[(31 - total % 31) % 31]


def mobile(dice: random.Random) -> str:
    return dice.choice(
        [
            "130",
            "131",
            "135",
            "138",
            "139",
            "147",
            "150",
            "151",
            "158",
            "166",
            "170",
            "176",
            "177",
            "182",
            "185",
            "186",
            "188",
            "189",
            "191",
            "195",
            "199",
        ]
    ) + digits(dice, 8)


def phone(dice: random.Random) -> tuple[str, str]:
    m = mobile(dice)
    local = dice.choice("2345678") + digits(dice, 7)
    forms = {
        "plain": m,
        "dashes": f"{m[:3]}-{m[3:7]}-{m[7:]}",
        "spaces": f"{m[:3]} {m[3:7]} {m[7:]}",
        "+86": f"+86{m}",
        "+86 ": f"+86 {m}",
        "+86-": f"+86-{m[:3]}-{m[3:7]}-{m[7:]}",
        "86": f"86{m}",
        "0086": f"0086 {m}",
        "010": f"010-{local}",
        "0755": f"0755-{local}",
        "(021)": f"(021){local}",
        "（0571）": f"（0571）{local}",
        "0513 7": f"0513-{local[:7]}",
        "extension": f"020-{local}-{dice.randint(100, 9999)}",
        "+852": f"+852 {dice.choice('5689')}{digits(dice, 3)} {digits(dice, 4)}",
        "+886": f"+886 9{digits(dice, 2)} {digits(dice, 3)} {digits(dice, 3)}",
        "+1": f"+1 {dice.randint(201, 989)}-{dice.randint(200, 999)}-{digits(dice, 4)}",
        "+44": f"+44 20 {digits(dice, 4)} {digits(dice, 4)}",
        "+81": f"+81 90-{digits(dice, 4)}-{digits(dice, 4)}",
        "+49": f"+4930{digits(dice, 8)}",
        "taiwan": f"09{digits(dice, 2)}-{digits(dice, 3)}-{digits(dice, 3)}",
        "wide": "".join(chr(ord(c) + 0xFEE0) for c in m),
    }
    form = dice.choice(list(forms))
    return forms[form], form


def email(dice: random.Random) -> tuple[str, str]:
    name = "".join(dice.choices(string.ascii_lowercase, k=dice.randint(2, 9)))
    local = dice.choice(
        [name, f"{name}.{digits(dice, 2)}", f"{name}_{digits(dice, 3)}", digits(dice, 9), f"{name}+tag", f"{name.title()}-x"]
    )
    host = "".join(dice.choices(string.ascii_lowercase + string.digits, k=6)).lstrip(string.digits) or "corp"
    domain = dice.choice(
        [
            "qq.com",
            "163.com",
            "gmail.com",
            f"{host}.cn",
            f"mail.{host}.com.cn",
            f"{host}.edu.tw",
            f"{host}.io",
            f"{host}.ai",
            f"{host}.org",
            f"{host}.tech",
        ]
    )
    at, form = dice.choice([("@", "plain")] * 6 + [("[at]", "[at]"), ("＠", "wide @")])
    return local + at + domain, form


def public_ip(dice: random.Random) -> tuple[str, str]:
    if dice.random() < 0.3:
        groups = [dice.choice(["2400", "2408", "240e", "2001", "2a02"])] + [f"{dice.randint(0x1000, 0xFFFF):x}" for _ in range(7)]
        cut = dice.randint(2, 5)
        return (":".join(groups), "v6") if dice.random() < 0.5 else (":".join(groups[:cut]) + "::" + groups[-1], "v6 short")
    first = dice.choice(
        [1, 8, 36, 39, 42, 47, 58, 61, 101, 106, 110, 114, 117, 120, 123, 139, 140, 180, 182, 202, 203, 210, 218, 219, 221, 223]
    )
    return f"{first}.{dice.randint(1, 99)}.{dice.randint(33, 254)}.{dice.randint(1, 254)}", "v4"


def private_ip(dice: random.Random) -> tuple[str, str]:
    a, b, c = dice.randint(0, 255), dice.randint(33, 254), dice.randint(1, 254)
    return dice.choice([f"10.{a}.{b}.{c}", f"192.168.{b}.{c}", f"172.{dice.randint(16, 31)}.{b}.{c}"]), "v4"


def secret(dice: random.Random) -> tuple[str, str]:
    def word(count: int, letters: str = string.ascii_letters + string.digits) -> str:
        return "7" + "".join(dice.choices(letters, k=count - 2)) + "3"

    forms = {
        "openai": "sk-" + word(48),
        "openai project": "sk-proj-" + word(60),
        "anthropic": "sk-ant-api03-" + word(40),
        "aws": "AKIA" + word(16, string.ascii_uppercase + string.digits),
        "github": "ghp_" + word(36),
        "github fine": "github_pat_" + word(60),
        "feilun": "fl-" + word(43, string.ascii_letters + string.digits + "-_"),
        "google": "AIza" + word(35),
        "hugging face": "hf_" + word(34),
        "slack": "xoxb-" + word(40),
        "aliyun": "LTAI" + word(20),
        "jwt": f"eyJ{word(30)}.eyJ{word(60)}.{word(43)}",
        "gitlab": "glpat-" + word(20),
        "pem": f"-----BEGIN RSA PRIVATE KEY-----\n{word(64)}\n{word(64)}\n{word(40)}==\n-----END RSA PRIVATE KEY-----",
    }
    form = dice.choice(list(forms))
    return forms[form], form


def wechat(dice: random.Random) -> tuple[str, str]:
    name = "".join(dice.choices(string.ascii_lowercase, k=dice.randint(4, 8)))
    return dice.choice(
        [
            (f"{name}{digits(dice, 4)}", "mixed"),
            (f"{name}_{digits(dice, 2)}", "underscore"),
            (f"wxid_{digits(dice, 6)}", "wxid"),
            (mobile(dice), "phone"),
        ]
    )


# Surroundings ---------------------------------------------------------------------------------------------------------------
# (before, after); a place where the value is glued to Han, to signs, or stands free.
ANY = [
    ("如有问题请找客服", "谢谢配合。"),
    ("他留下的是", "，请尽快处理"),
    ("（", "）以上信息仅供内部使用"),
    ("资料：", "。其余从略"),
    ("請記下", "並回覆我們。"),
    ("對方提供了「", "」作為憑據"),
    ("Please note ", " for later."),
    ("(", ")"),
    ('{"value": "', '"}'),
    ("| 张三 | ", " | 北京 |"),
    ("张三,", ",女"),
    ("1. ", "\n2. 下一项"),
    ("", ""),
    ("这是", "的记录"),
    ("見", "一欄"),
]
NAMED = {
    "email": [("投递简历至邮箱", "即可"), ("聯絡信箱：", "，謝謝"), ("Email: ", ""), ("<", ">"), ("mailto:", "")],
    "phone": [("电话", "联系"), ("手机号：", "（微信同号）"), ("請撥打", "洽詢"), ("聯絡電話", "王小姐"), ("Call ", " now"), ("tel:", "")],
    "id_card": [("身份证号", "已核验"), ("身分證字號：", "，"), ("ID card: ", ".")],
    "bank_card": [("打款到卡号", "户名张三"), ("銀行帳號：", "，戶名李四"), ("card ", " expires soon")],
    "company": [("统一社会信用代码", "的企业"), ("統一社會信用代碼：", "，"), ("税号：", "\n开户行：工行")],
    "ip": [("服务器地址", "已下线"), ("來自IP位址", "的請求"), ("host=", " port 8080"), ("ping ", " -c 3"), ("ssh root@", "")],
    "secret": [("密钥是", "，请勿外传"), ("export TOKEN=", "\n"), ('api_key = "', '"'), ("Authorization: Bearer ", "")],
}
NAMED["private_ip"] = NAMED["ip"]
HANDLES = {
    "wechat": [
        ("加微信", "领资料"),
        ("微信号：", "，备注来意"),
        ("微信:", " 备注姓名"),
        ("微信號是", "，請備註"),
        ("VX：", "咨询"),
        ("vx:", "。"),
        ("wx：", "，长期有效"),
        ("加V", "进群"),
        ("WeChat ID: ", ", thanks"),
        ("薇信：", "，"),
    ],
    "qq": [
        ("QQ：", "，"),
        ("qq:", "联系"),
        ("加QQ", "咨询"),
        ("QQ群：", "，欢迎加入"),
        ("QQ號碼是", "，"),
        ("扣扣", "。"),
        ("QQ交流群 ", " 等你来"),
    ],
}
VALUES: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "email": email,
    "phone": phone,
    "ip": public_ip,
    "private_ip": private_ip,
    "secret": secret,
    "wechat": wechat,
    "id_card": lambda dice: spaced(dice, identity_card(dice), (6, 14)),
    "bank_card": lambda dice: spaced(dice, bank_card(dice), (4, 8, 12, 16)),
    "company": lambda dice: (company_code(dice), "plain"),
    "qq": lambda dice: (str(dice.randint(10**5, 4 * 10**9)), "plain"),
}


def spaced(dice: random.Random, number: str, cuts: tuple[int, ...]) -> tuple[str, str]:
    if dice.random() < 0.75 or len(number) == 15:
        return (number.lower(), "lower x") if number.endswith("X") and dice.random() < 0.5 else (number, "plain")
    bounds = [0, *(cut for cut in cuts if cut < len(number)), len(number)]
    return " ".join(number[a:b] for a, b in itertools.pairwise(bounds)), "spaces"


def positives(dice: random.Random, count: int) -> Iterator[Item]:
    for kind in KINDS:
        for _ in range(count):
            value, form = VALUES[kind](dice)
            before, after = dice.choice(HANDLES[kind] if kind in HANDLES else ANY + NAMED[kind])
            yield Item(before, value, after, kind, form)


def broken(number: str, dice: random.Random) -> str:
    """The number with another last character: the check fails."""
    last = dice.choice([c for c in "0123456789" if c != number[-1]])
    return number[:-1] + last


class Drawn(NamedTuple):
    """What several look-alikes share. eleven: digits as of a telephone; section: four small numbers; moment: seconds, and as text."""

    moment: int
    moment_text: str
    eleven: str
    section: list[int]
    isbn: str
    word: str


Alike = dict[str, tuple[str, str, str]]  # form -> before, value, after


def look_alikes(dice: random.Random) -> Alike:
    drawn = draw(dice)
    return {
        form: parts
        for table in (numbers_like, codes_like, addresses_like, names_like, digits_like)
        for form, parts in table(dice, drawn).items()
    }


def draw(dice: random.Random) -> Drawn:
    moment = dice.randint(1_300_000_000, 1_799_999_999)
    moment_text = time.strftime("%Y-%m-%d_%H:%M:%S", time.gmtime(moment))
    eleven, section = "1" + dice.choice("3456789") + digits(dice, 9), [dice.randint(1, 12) for _ in range(4)]
    isbn = "9787" + digits(dice, 8)
    isbn += str(-sum(int(d) * (1, 3)[i % 2] for i, d in enumerate(isbn)) % 10)
    return Drawn(moment, moment_text, eleven, section, isbn, "".join(dice.choices(string.ascii_lowercase, k=6)))


def numbers_like(dice: random.Random, drawn: Drawn) -> Alike:
    """Long numbers and dotted ones that are nobody's."""
    moment, moment_text, eleven, section, isbn = drawn.moment, drawn.moment_text, drawn.eleven, drawn.section, drawn.isbn
    return {
        "order": (
            dice.choice(["订单号", "訂單編號：", "运单号: ", "order no. ", "交易流水号："]),
            dice.choice([eleven, digits(dice, 16), bank_card(dice), digits(dice, 19)]),
            "已发货",
        ),
        "isbn": ("ISBN ", dice.choice([isbn, f"{isbn[:3]}-{isbn[3]}-{isbn[4:7]}-{isbn[7:12]}-{isbn[12]}"]), "，人民邮电出版社"),
        "version": (
            dice.choice(["版本 ", "version ", "v", "Chrome/", "升级到版本", "pkg=="]),
            f"{dice.randint(0, 140)}.{dice.randint(0, 60)}.{dice.randint(0, 255)}.{dice.randint(0, 255)}",
            " 修复了问题",
        ),
        "section": (dice.choice(["", "见", "## ", "如"]), ".".join(map(str, section)), " 节所述"),
        "date": (
            "于",
            moment_text.replace("_", " "),
            "发布",
        ),
        "compact date": (
            "文件 ",
            re.sub("[-_:]", "", moment_text),
            ".log",
        ),
        "seconds": ("time=", str(moment), ","),
        "milliseconds": ('{"ts": ', str(moment * 1000 + dice.randint(0, 999)), "}"),
        "decimal": ("圆周率", f"{dice.randint(0, 99)}.{eleven}{digits(dice, dice.randint(0, 8))}", "左右"),
        "amount": ("共", f"{dice.randint(1, 999)},{digits(dice, 3)},{digits(dice, 3)}.{digits(dice, 2)}", "元"),
    }


def codes_like(dice: random.Random, drawn: Drawn) -> Alike:
    """Hashes and codes, and numbers whose check fails."""
    eleven, word = drawn.eleven, drawn.word
    return {
        "sha1": ("commit ", "".join(dice.choices(HEXES, k=40)), "\n"),
        "md5": ("md5: ", "".join(dice.choices(HEXES, k=32)), ""),
        "uuid": ("id ", "-".join("".join(dice.choices(HEXES, k=k)) for k in (8, 4, 4, 4, 12)), "。"),
        "hex digits": ("0x", digits(dice, 16), ";"),
        "bad id card": ("编码", broken(identity_card(dice), dice).replace("X", "1"), "无效"),
        "bad bank card": ("卡号", broken(bank_card(dice), dice), "不存在"),
        "bad company": ("代码", broken(company_code(dice), dice), "有误"),
        "twelve digits": ("条码", "1" + dice.choice("3456789") + digits(dice, 10), "。"),
        "ten digits": ("工号", "1" + digits(dice, 9), "的同事"),
        "glued digits": ("A", f"{eleven}{word}", " 型"),
    }


def addresses_like(dice: random.Random, drawn: Drawn) -> Alike:
    """What is written with dots, colons and signs as addresses are."""
    eleven, word = drawn.eleven, drawn.word
    return {
        "address id": ("https://zhuanlan.zhihu.com/p/", eleven, " 一文"),
        "address query": ("https://item.example.org/item.htm?id=", eleven, "&x=1"),
        "large octet": ("地址", f"{dice.randint(256, 999)}.{digits(dice, 3)}.1.2", "非法"),
        "oid": ("OID 1.3.6.1.4.1.", f"{dice.randint(100, 9999)}.{dice.randint(1, 99)}", ""),
        "loopback": ("访问 http://", dice.choice(["127.0.0.1", "0.0.0.0", "127.0.0.53"]), ":8080/"),
        "mask": ("掩码", dice.choice(["255.255.255.0", "255.255.0.0", "255.255.255.128"]), "。"),
        "network": ("网段", dice.choice(["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12"]), "之内"),
        "mac": ("网卡", ":".join("".join(dice.choices(HEXES, k=2)) for _ in range(6)), "。"),
        "clock": ("时间 ", f"{dice.randint(0, 23):02}:{dice.randint(0, 59):02}:{dice.randint(0, 59):02}.{digits(dice, 6)}", ""),
        "scope": ("用 ", dice.choice(["std::string", "a::b", "Foo::Bar::baz", "fade::in", "cafe::Bean"]), " 声明"),
        "decorator": ("\n@app.route", "('/')", "\ndef f(): pass"),
        "matrix": ("y = ", f"{word[:2]}@{word[2:4]}.{dice.choice(['transpose', 'reshape', 'shape', 'T', 'view'])}", "(1, 2)"),
        "retina": ("图片 ", f"{word}@2x.png", " 已更新"),
    }


def names_like(dice: random.Random, drawn: Drawn) -> Alike:
    """What holds an @, a key's prefix or the name of a service."""
    word = drawn.word
    return {
        "package": ("npm i ", f"{word}@{dice.randint(1, 20)}.{dice.randint(0, 9)}.{dice.randint(0, 9)}", ""),
        "git": ("git clone ", f"git@github.com:{word}/{word}.git", ""),
        "example mail": ("填写 ", f"{word}@example.com", " 即可"),
        "mention": ("感谢 ", f"@{word}", " 的贡献"),
        "css name": ("class=", f"sk-{word}-{word}-{word}-content", ">"),
        "slug": ("见 /posts/", f"fl-{word}-{word}", ""),
        "login": ("连接 postgres://user:", dice.choice(["password", "${PASSWORD}", "<pass>"]), "@db/app"),
        "wechat app": (dice.choice(["微信 ", "微信的 ", "WeChat "]), dice.choice(["Android", "JSSDK", "MiniProgram", "Windows"]), " 版"),
        "official": ("微信公众号：", "JavaGuide", "，欢迎关注"),
    }


def digits_like(dice: random.Random, drawn: Drawn) -> Alike:
    """Short numbers, spans and sums."""
    return {
        "qq users": ("QQ ", f"{dice.randint(10000, 99999)}万", "用户"),
        "qq version": ("QQ", f"{dice.randint(2008, 2015)}", " 版"),
        "line number": ("第", f"{dice.randint(1, 99999)}", "行"),
        "table": ("| ", f"{digits(dice, 4)} | {digits(dice, 4)} | {digits(dice, 4)}", " |"),
        "year span": ("", f"{dice.randint(1900, 1999)}-{dice.randint(2000, 2026)}", "年间"),
        "ratio": ("比例 ", f"{digits(dice, 2)}:{digits(dice, 2)}:{digits(dice, 2)}", "。"),
        "snowflake": ('{"uid": ', "1" + digits(dice, 18), "}"),
        "percent": ("占", f"1{digits(dice, 1)}.{digits(dice, 10)}%", ""),
        "arithmetic": ("x", f"+{dice.choice('123456789')}{digits(dice, 9)}", " = y"),
        "power": ("2^62 = ", "4611686018427387904", ""),
        "bare digits": ("[", f"{dice.randint(2, 9)}{digits(dice, 15)}", "]"),
    }


def negatives(dice: random.Random, count: int) -> Iterator[Item]:
    for _ in range(count):
        for form, (before, value, after) in look_alikes(dice).items():
            yield Item(before, value, after, "", form)


def make_items(seed: int, per_kind: int) -> list[Item]:
    dice = random.Random(seed)
    items = [*positives(dice, per_kind), *negatives(dice, max(1, per_kind // 6))]
    dice.shuffle(items)
    return items
