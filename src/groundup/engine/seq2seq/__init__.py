"""An encoder-decoder's directory as a Generator and Scorer: the prompt is the source, the completion its target."""

from .search import Hypothesis, beam_search
from .translator import Translator, open_translator

__all__ = ["Hypothesis", "Translator", "beam_search", "open_translator"]
