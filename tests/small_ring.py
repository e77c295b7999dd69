"""A recipe whose whole ring takes half a minute of CPU: nothing is learnt in six steps, but everything turns."""

import dataclasses

from feilun.config import Recipe, load_recipe


def recipe() -> Recipe:
    tiny = load_recipe("tiny")
    exam = dataclasses.replace(tiny.exam, num_samples=4, max_tokens=8)
    short = {"num_steps": 6, "checkpoint_steps": 2, "threads": 1}
    people = {"num_prompts": 40, "num_measured": 20, "events_per_turn": 60, "num_users": 20, "num_hostile": 2}
    return dataclasses.replace(
        tiny,
        pretrain=dataclasses.replace(tiny.pretrain, validation_tokens=500, **short),
        sft=dataclasses.replace(tiny.sft, **short),
        exam=exam,
        turn=dataclasses.replace(tiny.turn, prefer=dataclasses.replace(tiny.turn.prefer, **short), exam=exam),
        demo=dataclasses.replace(tiny.demo, num_documents=500, num_examples=200, **people),
    )
