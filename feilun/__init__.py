"""Feilun (飞轮, "flywheel"): own the model behind your product, from raw text to the next, better model, in one program.

The ring, in the way of the data; each word is a module, a verb of the command line and a field of the recipe:

    corpus      raw documents -> clean documents, every drop counted            feilun.corpus
    tokenizer   documents -> a byte-level BPE in Hugging Face files             feilun.tokenizer, feilun.chat
    pretrain    documents -> a base model that predicts the next token          feilun.train, feilun.model
    sft         examples of answering -> a model that answers                   feilun.train
    prefer      edits, thumbs and choices -> a model that answers as people like
    exam        questions with known answers -> scores with intervals           feilun.exam, feilun.engine
    serve       the champion -> an OpenAI-compatible API and a page             feilun.serve
    feedback    what people did -> typed, durable events -> lessons             feilun.store, feilun.feedback
    turn        lessons -> a candidate -> the gate -> promoted or refused       feilun.turn, and back to serve

Layers; imports point down only (tests/test_architecture.py reads them out of the code):

    L5  cli  demo  serve  status  progress      argv, environment and HTTP live here
    L4  turn                                    each step a child process under a lease
    L3  train  feedback
    L2  model  engine  exam                     torch lives here and in train
    L1  tokenizer  chat  corpus  store  primer
    L0  types  artifacts  config  stats  recipes

population, the simulated users, stands outside: it speaks HTTP to serve as any client does. The rooms share no state but
the home: immutable artifacts (feilun.artifacts) and one database (feilun.store). Importing this loads no torch, opens no file.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
