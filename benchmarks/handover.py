"""`python -m benchmarks.handover MODEL_DIRECTORY`: does transformers read a model of ours as we do?

Weights with nothing left over, logits, 1,000 mixed strings as ids, and the chat template's bytes. Exit status 1 where they differ.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
import transformers

from feilun.chat import ChatFormat
from feilun.model.checkpoint import load_model
from feilun.model.transformer import document_mask
from feilun.tokenizer import Tokenizer
from feilun.types import Conversation

NUM_STRINGS = 1000
LARGEST_DIFFERENCE = 1e-4
PIECES = (
    "9.11", "和", "哪个大", "?", "？", " the", "larger", "🙂", "👩‍👩‍👧", "\n", "  ", "\t", "1,024", "３", "é", "don't", "——", "客单价",
    "v1.10", "\r\n", "版本", "{", "}", "ñ", "한국",
)  # fmt: skip


def check(path: Path) -> dict[str, Any]:
    """What transformers finds in the directory, beside what we find; `same` sums it up."""
    ours, tokenizer = load_model(path), Tokenizer.load(path)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, dtype=torch.float32)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    strings = mixed_strings()
    different = sum(their_tokenizer(text)["input_ids"] != tokenizer.encode(text) for text in strings)
    chat = Conversation.of("9.11 和 9.8 哪个大?", "9.8 更大。", "Why?")
    rendered = their_tokenizer.apply_chat_template(chat.to_json(), tokenize=False, add_generation_prompt=True)
    ids_BT = torch.tensor([ChatFormat(tokenizer).prompt(chat)])
    with torch.no_grad():
        T = ids_BT.shape[1]
        hidden = ours(ids_BT, torch.arange(T)[None], document_mask(torch.zeros(1, T, dtype=torch.long)))
        difference = float((theirs(ids_BT).logits - ours.logits(hidden)).abs().max())
    left_over = {key: sorted(map(str, value)) for key, value in info.items() if value}
    template_same = rendered == tokenizer.decode(ids_BT[0].tolist())
    same = not left_over and not different and template_same and difference < LARGEST_DIFFERENCE
    return {
        "same": same, "left_over": left_over, "largest_logit_difference": difference, "strings": len(strings),
        "different_ids": different, "template_same": template_same, "transformers": transformers.__version__,
    }  # fmt: skip


def mixed_strings() -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices(PIECES, k=rng.randint(1, 12))) for _ in range(NUM_STRINGS)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    found = check(parser.parse_args().path)
    print(json.dumps({"benchmark": "handover", "ours": found, "peers": {}, "ratios": {}, "absent": []}))
    return 0 if found["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
