"""Exams: questions with known answers, put to a model, scored, with intervals. Nothing is imported here.

tasks.py    Task = samples(split) + score(sample, reply); the primer's tasks; splits people, gate, final are disjoint
run.py      run_exam: greedy answers -> `exams/name@hash` with answers.jsonl and summary.json; probes.jsonl beside them, not scored
compare.py  compare: two exams of the same questions, paired by question
vetoes.py   does an answer give way to what the user claims
marks.py    what a reply shows besides: refusal, another language, length
overlap.py  what is taught against what is asked; questions.py: what is asked

A reply is scored by the tokens that stand in it, never by a model: "9.8" does not stand in "19.8" or "9.81".
The same tasks are the reward of rl and the gate's evidence, so a task reads nothing but the sample and the reply.
"""
