"""groundup: the whole life of a language model, from raw text to a served model, as one library."""

from __future__ import annotations

__version__ = "0.1.0"
