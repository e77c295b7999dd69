"""Decoding on the CPU: our engine beside transformers' generate, the same model and prompts, in turn in one run.

    python -m benchmarks.engine [--rounds N] [--threads N] [--scale demo|base]

Workloads, each counted in generated tokens:
  exam     many short greedy answers to prompts of unequal length (ours refills rows, transformers gets sorted full batches)
  stream   one request alone
  chats    32 requests at once, sampled
Both load the same directory; transformers runs in fp32 and in bf16. Figures are medians over rounds, in tokens a
second of wall time and of CPU time; on a busy machine the second is the steadier one. Loading is not counted.
"""

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GOMP_SPINCOUNT", "0")

import torch

from feilun.config import ModelShape, TokenizerSettings
from feilun.engine.native import NativeEngine
from feilun.model.checkpoint import save_model
from feilun.model.transformer import Transformer
from feilun.tokenizer import Tokenizer
from feilun.types import GenerationRequest

SHAPES = {
    "demo": ModelShape(vocab_size=2048, width=128, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=64, ffn_width=384),
    "base": ModelShape(vocab_size=8192, width=256, num_layers=6, num_heads=4, num_kv_heads=2, head_dim=64, ffn_width=768),
}


class Workload(NamedTuple):
    name: str
    prompts: list[tuple[int, ...]]
    new_tokens: int
    batch: int
    temperature: float


def workloads(vocab_size: int) -> list[Workload]:
    draw = random.Random(0)

    def prompts(n: int, low: int, high: int) -> list[tuple[int, ...]]:
        return [tuple(draw.choices(range(vocab_size), k=draw.randint(low, high))) for _ in range(n)]

    return [
        Workload("exam", prompts(512, 18, 32), 6, 128, 0.0),
        Workload("stream", prompts(1, 25, 25), 96, 1, 0.0),
        Workload("chats", prompts(32, 20, 60), 64, 32, 0.8),
    ]


def made_model(path: Path, shape: ModelShape) -> None:
    """A random model: speed does not depend on what it knows."""
    model, generator = Transformer(shape), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1 + (parameter.ndim == 1))
    save_model(path, model, Tokenizer.train(["benchmark"], TokenizerSettings(vocab_size=shape.vocab_size)), chat=False)


def ours(path: Path, precision: str) -> Callable[[Workload], int]:
    made = {batch: NativeEngine.load(path, max_batch=batch, precision=precision) for batch in (1, 32, 128)}

    def run(work: Workload) -> int:
        requests = [
            GenerationRequest(id=str(n), ids=ids, max_tokens=work.new_tokens, temperature=work.temperature, seed=n)
            for n, ids in enumerate(work.prompts)
        ]
        return sum(1 for _ in made[work.batch].generate(requests))

    return run


def hugging_face(path: Path, dtype: torch.dtype) -> Callable[[Workload], int]:
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)

    def run(work: Workload) -> int:
        # No end token, so that both sides make the same number of tokens.
        sampled = {"do_sample": True, "temperature": work.temperature, "top_k": 0} if work.temperature else {"do_sample": False}
        model.generation_config = GenerationConfig(
            max_new_tokens=work.new_tokens, min_new_tokens=work.new_tokens, pad_token_id=0, eos_token_id=None, **sampled
        )
        rows, made = sorted(work.prompts, key=len), 0
        for start in range(0, len(rows), work.batch):
            group = rows[start : start + work.batch]
            longest = max(map(len, group))
            ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in group])
            mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in group])
            with torch.inference_mode():
                made += (model.generate(ids, attention_mask=mask).shape[1] - longest) * len(group)
        return made

    return run


def measure(sides: dict[str, Callable[[Workload], int]], works: list[Workload], rounds: int) -> dict[str, dict[str, float]]:
    """{side: {workload_tokens_per_second, workload_tokens_per_cpu_second}}, sides in turn, one round unmeasured."""
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(rounds + 1):
        for work in works:
            for side, run in sides.items():
                wall, cpu = time.perf_counter(), time.process_time()
                tokens = run(work)
                if turn:
                    seen.setdefault((side, work.name), []).append(
                        (tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu))
                    )
    figures: dict[str, dict[str, float]] = {side: {} for side in sides}
    for (side, name), pairs in seen.items():
        for column, unit in enumerate(("tokens_per_second", "tokens_per_cpu_second")):
            figures[side][f"{name}_{unit}"] = round(statistics.median(pair[column] for pair in pairs), 1)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scale", choices=SHAPES, default="demo")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    absent = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        made_model(path, SHAPES[options.scale])
        sides = {"ours": ours(path, "auto"), "ours-fp32": ours(path, "fp32")}
        try:
            sides |= {"transformers-fp32": hugging_face(path, torch.float32), "transformers-bf16": hugging_face(path, torch.bfloat16)}
        except ImportError:
            absent.append("transformers")
        figures = measure(sides, workloads(SHAPES[options.scale].vocab_size), options.rounds)
        print(json.dumps(report(figures, options, absent)))


def report(figures: dict[str, dict[str, float]], options: argparse.Namespace, absent: list[str]) -> dict[str, object]:
    peers = {side: values for side, values in figures.items() if side.startswith("transformers")}
    ratios = {name: round(value / max(peer[name] for peer in peers.values()), 2) for name, value in figures["ours"].items() if peers}
    return {
        "benchmark": "engine",
        "machine": {
            "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": options.threads,
            "torch": torch.__version__, "load": [round(x, 2) for x in os.getloadavg()], "scale": options.scale,
        },
        "ours": figures["ours"],
        "ours_fp32": figures["ours-fp32"],
        "peers": peers,
        "ratios": ratios,
        "absent": absent,
    }  # fmt: skip


if __name__ == "__main__":
    main()
