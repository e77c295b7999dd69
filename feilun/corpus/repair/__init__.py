"""Repairs of texts: each rule finds what it may change, vectorised, and only what it flags enters Python.

Never NFKC, never folding: full-width punctuation is how Chinese is written. Every change is an edit that can be undone.
"""

from feilun.corpus.repair.damage import damage_scores
from feilun.corpus.repair.rules import is_out_of_the_ordinary, repair_texts, rule_names

__all__ = ["damage_scores", "is_out_of_the_ordinary", "repair_texts", "rule_names"]
