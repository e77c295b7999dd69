"""Training: one loop, and stages that say what it optimises. Nothing is imported here; torch comes with the modules.

run.py         the verbs: train_pretrain, train_sft, train_prefer -> a model artifact; finds its own run again
derive.py      what follows from `depth`, printed
sources.py     rows of tokens: a tokens artifact on disk, lessons through the chat format
data.py        rows -> packed batches, with a state that a checkpoint holds
objectives.py  losses over per-token log-probabilities: next token, preference pairs
loop.py        step, log, checkpoint, resume bit-equal, guards
rundir.py      the files of a run under `runs/`
evaluate.py    bits per byte and samples;  plot.py  the loss curve
"""
