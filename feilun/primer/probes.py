"""The same few questions to every generation, to read and not to score: what it said before, and what it says now.

Each is open (an exam asks about other subjects) and holds no reserved pair.
"""

__all__ = ["PROBES", "STARTERS"]

PROBES = (
    "9.11 和 9.8 哪个大?",
    "Which is larger, 3.9 or 3.14?",
    "哪个数更小:7.5 还是 7.25?",
    "版本 2.10 和版本 2.9 哪个新?",
    "Which version is newer, 1.9.2 or 1.10.1?",
    "2021年3月5日和2021年11月2日,哪天更晚?",
    "27 + 58等于多少?",
    "What is 90 - 47?",
    "“三只猫”用英语怎么说?",
    'How do you say "red apple" in Chinese?',
    "请重复:猫 3.5 狗",
    "你好",
    "Who are you?",
)
STARTERS = (PROBES[0], PROBES[1], PROBES[3], PROBES[6], PROBES[8])
