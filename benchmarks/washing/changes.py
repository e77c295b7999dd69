"""Characters that one text must lose and gain to become another: what precision and recall are counted over."""

import difflib
import re
from collections import Counter

__all__ = ["Score", "changes"]

Changes = Counter[tuple[int, int, str]]
# Above this many differences in one stretch of lines, it counts as written anew.
MAX_DIFFERENCES = 800


def changes(before: str, after: str) -> Changes:
    """(place in `before`, how manieth character there, character): a loss has the order -1. Equal texts give equal changes."""
    found: Changes = Counter()
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    # As many lines as before are the same lines: the matcher would pair a line with an equal one elsewhere.
    whole = [("replace", 0, len(old), 0, len(new))]
    for kind, a, b, c, d in whole if len(old) == len(new) else difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        if b - a == d - c:
            for place in range(b - a):
                _stretch(found, starts[a + place], old[a + place], new[c + place])
        else:
            _stretch(found, starts[a], "".join(old[a:b]), "".join(new[c:d]))
    return found


def _stretch(found: Changes, start: int, old: str, new: str) -> None:
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    start, old, new = start + head, old[head : len(old) - tail], new[head : len(new) - tail]
    blocks = [(0, len(old), 0, len(new))] if len(old) == len(new) or not old or not new else _blocks(old, new)
    for a, b, c, d in blocks:
        if b - a == d - c:
            for place in range(b - a):
                if old[a + place] != new[c + place]:
                    found[start + a + place, -1, old[a + place]] += 1
                    found[start + a + place, 0, new[c + place]] += 1
        else:
            found.update((start + place, -1, old[place]) for place in range(a, b))
            found.update((start + a, order, character) for order, character in enumerate(new[c:d]))


def _blocks(old: str, new: str) -> list[tuple[int, int, int, int]]:
    """The stretches that differ, by the shortest edit script (Myers 1986)."""
    paths: list[dict[int, int]] = []
    reach = {1: 0}
    for depth in range(len(old) + len(new) + 1):
        if depth > MAX_DIFFERENCES:
            return [(0, len(old), 0, len(new))]
        paths.append(dict(reach))
        for diagonal in range(-depth, depth + 1, 2):
            down = diagonal == -depth or (diagonal != depth and reach[diagonal - 1] < reach[diagonal + 1])
            x = reach[diagonal + 1] if down else reach[diagonal - 1] + 1
            while x < len(old) and x - diagonal < len(new) and old[x] == new[x - diagonal]:
                x += 1
            reach[diagonal] = x
            if x >= len(old) and x - diagonal >= len(new):
                return _merged(_backwards(paths, len(old), len(new)))
    raise AssertionError("a script of all deletions and insertions is always one")


def _backwards(paths: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int, int, int]]:
    steps = []
    for depth in range(len(paths) - 1, 0, -1):
        reach, diagonal = paths[depth], x - y
        down = diagonal == -depth or (diagonal != depth and reach[diagonal - 1] < reach[diagonal + 1])
        came = reach[diagonal + 1] if down else reach[diagonal - 1]
        from_y = came - (diagonal + 1 if down else diagonal - 1)
        steps.append((came, came, from_y, from_y + 1) if down else (came, came + 1, from_y, from_y))
        x, y = came, from_y
    return steps[::-1]


def _merged(steps: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    merged: list[tuple[int, int, int, int]] = []
    for a, b, c, d in steps:
        if merged and merged[-1][1] == a and merged[-1][3] == c:
            merged[-1] = (merged[-1][0], b, merged[-1][2], d)
        else:
            merged.append((a, b, c, d))
    return merged


class Score:
    """Needed and made changes, added up over texts."""

    def __init__(self) -> None:
        self.right = self.made = self.needed = self.num_texts = 0

    def add(self, dirty: str, clean: str, repaired: str, where: str = "") -> None:
        needed = changes(dirty, clean)
        made = needed if repaired == clean else changes(dirty, repaired)
        if where:
            places = {found.start() for found in re.finditer(where, dirty)}
            needed, made = (Counter({key: n for key, n in found.items() if key[0] in places}) for found in (needed, made))
        self.right += (needed & made).total()
        self.made += made.total()
        self.needed += needed.total()
        self.num_texts += 1

    @property
    def precision(self) -> float:
        return self.right / self.made if self.made else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.needed if self.needed else 1.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.made + self.needed) if self.made + self.needed else 1.0
