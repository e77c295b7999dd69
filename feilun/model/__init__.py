"""The model: a plain Qwen3-dense transformer whose checkpoints are Hugging Face directories. Nothing is imported here.

transformer.py  the layers, the key/value cache, document masks; parameter names are Hugging Face names
checkpoint.py   save_model, load_model: a whole Hugging Face directory, out and in, read strictly
logprob.py      token_logprobs: the one primitive under every objective
optim.py        Muon for matrices, AdamW for the rest, the learning-rate schedule
"""
