"""When two answers say the same: numbers, words, LaTeX, units, intervals, dates, letters (start at `equality.py`)."""

from .equality import Equality, answers_equal, is_number

__all__ = ["Equality", "answers_equal", "is_number"]
