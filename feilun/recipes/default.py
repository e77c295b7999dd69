"""The plain settings of every stage, for a model of one's own: start here and change by --set."""

from feilun.config import Recipe


def recipe() -> Recipe:
    return Recipe()
