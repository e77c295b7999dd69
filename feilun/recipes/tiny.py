"""The demo's ring in a minute: it shows that everything turns, and claims nothing about what is learnt."""

import dataclasses

from feilun.config import Recipe, load_recipe


def recipe() -> Recipe:
    demo = load_recipe("demo")
    exam = dataclasses.replace(demo.exam, num_samples=12, max_tokens=12)
    short = {"num_steps": 20, "checkpoint_steps": 5, "compile": "off", "rows": 8}
    prefer = dataclasses.replace(demo.turn.prefer, **short)
    return dataclasses.replace(
        demo,
        tokenizer=dataclasses.replace(demo.tokenizer, vocab_size=512),
        pretrain=dataclasses.replace(demo.pretrain, depth=2, validation_tokens=2_000, **short),
        sft=dataclasses.replace(demo.sft, **short),
        exam=exam,
        turn=dataclasses.replace(demo.turn, prefer=prefer, exam=exam),
        demo=dataclasses.replace(demo.demo, num_documents=2_000, num_examples=400, num_prompts=60, num_measured=40, turns=1, events_per_turn=40),
    )
