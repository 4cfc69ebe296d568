"""Published pre-tokenization patterns: the rule that cuts text into pieces before BPE merges bytes inside each piece.

A tokenizer's rule is a tuple of regular expressions, applied one after the other: each cuts every piece of the one before
into its matches and the stretches between them (Hugging Face calls this "isolated"). Rules listed in `SCANNERS` have a
compiled scanner (`scanners.py`); any other runs through the `regex` module, which is also the reference that the scanners
are held equal to. Left out: rules that drop text, and lookbehind across pieces.

Sources: GPT-2 (openai/gpt-2, encoder.py); cl100k_base and o200k_base (openai/tiktoken, openai_public.py); the variants are
those found in the tokenizer.json files of Qwen2, SmolLM and Mistral's Tekken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_PREFIX = r"[^\r\n\p{L}\p{N}]"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def _cl100k(digits: str, tail: str = "") -> str:
    return _CONTRACTION + rf"|{_PREFIX}?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{tail}" + _SPACES


def _o200k(digits: str, contraction: str) -> str:
    return (
        f"{_PREFIX}?{_UPPER}*{_LOWER}+{contraction}|{_PREFIX}?{_UPPER}+{_LOWER}*{contraction}"
        + rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|"
        + _SPACES
    )


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = _cl100k(r"\p{N}{1,3}")
CL100K_BASE = _cl100k(r"\p{N}{1,3}", tail=r"\s++$|")
QWEN2 = _cl100k(r"\p{N}")
O200K = _o200k(r"\p{N}{1,3}", _CONTRACTION + "?")
TEKKEN = _o200k(r"\p{N}", "")
DIGITS = r"\p{N}"

NAMED: dict[str, tuple[str, ...]] = {
    "gpt2": (GPT2,),
    "cl100k": (CL100K,),
    "cl100k_base": (CL100K_BASE,),
    "o200k": (O200K,),
    "qwen2": (QWEN2,),
    "tekken": (TEKKEN,),
    "smollm": (DIGITS, GPT2),
}
"""Short names. `cl100k` is the pattern as first published and as Hugging Face files carry it; `cl100k_base` is what tiktoken
runs today, which keeps the white space at the very end of a text in one piece even when there is a line break in it."""

SCANNERS: dict[tuple[str, ...], tuple[str, int, int]] = {
    (GPT2,): ("gpt2", 0, 0),
    (DIGITS, GPT2): ("gpt2", 1, 0),
    (CL100K,): ("cl100k", 3, 0),
    (CL100K_BASE,): ("cl100k", 3, 1),
    (QWEN2,): ("cl100k", 1, 0),
    (O200K,): ("o200k", 3, 1),
    (TEKKEN,): ("o200k", 1, 0),
}
"""Rule -> (scanner, its two flags); what the flags mean is said at each scanner."""

_SAME = {
    # Other spellings of the same rules, as tiktoken and model repositories write them.
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""": GPT2,
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""": (
        CL100K_BASE
    ),
}


def rule_of(pattern: str | tuple[str, ...]) -> tuple[str, ...]:
    """The rule a short name, a regular expression, or a tuple of them stands for."""
    if isinstance(pattern, str):
        if pattern in NAMED:
            return NAMED[pattern]
        pattern = (pattern,)
    return tuple(_SAME.get(p, p) for p in pattern)


@lru_cache(maxsize=64)
def compile_pattern(pattern: str) -> Any:
    """A compiled `regex` pattern. Raises TokenizerError when it is not one."""
    import regex

    from groundup.core.errors import TokenizerError

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise TokenizerError(
            f"{pattern!r} is neither a known pre-tokenization pattern nor a valid regular expression: {error}",
            hint=f"known names: {', '.join(NAMED)}",
        ) from None


def split_text(rule: tuple[str, ...], text: str) -> list[str]:
    """The pieces of `text`, by the `regex` module: the readable reference, and the path for rules without a scanner."""
    pieces = [text] if text else []
    for pattern in rule:
        compiled = compile_pattern(pattern)
        cut: list[str] = []
        for piece in pieces:
            at = 0
            for match in compiled.finditer(piece):
                start, end = match.span()
                if start == end:
                    continue
                if start > at:
                    cut.append(piece[at:start])
                cut.append(piece[start:end])
                at = end
            if at < len(piece):
                cut.append(piece[at:])
        pieces = cut
    return pieces
