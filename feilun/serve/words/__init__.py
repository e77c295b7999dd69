"""Every word of the page: one JSON file a view, {"zh": {key: text}, "en": {...}}; the page carries both languages."""

import json
from functools import cache
from pathlib import Path

__all__ = ["LANGUAGES", "all_words", "words_of"]

LANGUAGES = ("zh", "en")
Words = dict[str, dict[str, str]]


@cache
def words_of(language: str, rooms: tuple[str, ...]) -> dict[str, str]:
    """{key: text} of those rooms that have words."""
    folder = Path(__file__).parent
    files = [folder / f"{room}.json" for room in rooms]
    keys = [key for path in files if path.exists() for key in json.loads(path.read_text(encoding="utf-8"))[language]]
    return {key: all_words()[language][key] for key in keys}


@cache
def all_words() -> Words:
    """{language: {key: text}} of all files; a key stands in one file alone, in every language."""
    words: Words = {language: {} for language in LANGUAGES}
    for path in sorted(Path(__file__).parent.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for language in LANGUAGES:
            assert found[language].keys() == found[LANGUAGES[0]].keys(), f"{path.name} does not say the same in every language"
            doubled = words[language].keys() & found[language].keys()
            assert not doubled, f"{path.name} says again {sorted(doubled)}"
            words[language] |= found[language]
    return words
