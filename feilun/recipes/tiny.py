"""The demo's ring in a minute: it shows that everything turns, and claims nothing about what is learnt."""

from dataclasses import replace

from feilun.config import Recipe, load_recipe


def recipe() -> Recipe:
    demo = load_recipe("demo")
    exam = replace(demo.exam, num_samples=12, max_tokens=12)
    prefer = replace(demo.turn.prefer, num_steps=20, checkpoint_steps=5, compile="off", rows=8)
    people = {"num_prompts": 60, "num_measured": 40, "num_briefs": 20, "num_measured_briefs": 10}
    return replace(
        demo,
        tokenizer=replace(demo.tokenizer, vocab_size=512),
        pretrain=replace(demo.pretrain, depth=2, validation_tokens=2_000, num_steps=20, checkpoint_steps=5, compile="off", rows=8),
        sft=replace(demo.sft, num_steps=20, checkpoint_steps=5, compile="off", rows=8),
        prefer=prefer,
        exam=exam,
        turn=replace(demo.turn, prefer=prefer, exam=exam, num_in_doubt=0),
        owner_turn=replace(demo.owner_turn, prefer=replace(prefer, spread_share=0.2, replay_share=0.5), exam=exam, exam_tasks=()),
        demo=replace(demo.demo, num_documents=2_000, num_examples=400, turns=1, events_per_turn=40, **people),
    )
