"""What others make of a text, each in the interpreter it is installed in: `python -m benchmarks.washing.peers NAME < texts > texts`.

Each runs what it offers for cleaning text, in its own default or, for datatrove, the settings it uses for Chinese.
"""

import json
import sys
import time
from collections.abc import Callable

__all__ = ["PEERS"]

Fix = Callable[[list[str]], list[str]]


def ftfy() -> Fix:
    import ftfy

    return lambda texts: [ftfy.fix_text(text) for text in texts]


def data_juicer() -> Fix:
    from data_juicer.ops.mapper import FixUnicodeMapper, PunctuationNormalizationMapper, WhitespaceNormalizationMapper

    mappers = [FixUnicodeMapper(), PunctuationNormalizationMapper(), WhitespaceNormalizationMapper()]

    def fix(texts: list[str]) -> list[str]:
        batch = {"text": texts}
        for mapper in mappers:
            batch = mapper.process_batched(batch)
        return list(batch["text"])

    return fix


def datatrove() -> Fix:
    from datatrove.pipeline.formatters import FTFYFormatter, SymbolLinesFormatter

    steps = [FTFYFormatter(normalization="NFC"), SymbolLinesFormatter(symbols_to_remove=["|"])]

    def fix(texts: list[str]) -> list[str]:
        for step in steps:
            texts = [step.format(text) for text in texts]
        return texts

    return fix


PEERS = {"ftfy": ftfy, "data_juicer": data_juicer, "datatrove": datatrove}


def main() -> None:
    fix = PEERS[sys.argv[1]]()
    texts = json.load(sys.stdin)
    began = time.process_time()
    fixed = fix(list(texts))
    json.dump({"texts": fixed, "cpu_seconds": time.process_time() - began}, sys.stdout)


if __name__ == "__main__":
    main()
