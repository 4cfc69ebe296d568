"""The formulas of a page as MathML, made when the site is built, and text changed outside of code and formulas."""

from __future__ import annotations

import re
from collections.abc import Callable

from groundup.learn.mathematics import LONG, PIECES, as_mathml

# What Markdown would read as its own marks, inside MathML.
_MARKS = str.maketrans({c: f"&#{ord(c)};" for c in "*_[]`|~^\\"})


def map_prose(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to everything that is neither code nor mathematics."""
    made, at = [], 0
    for match in PIECES.finditer(text):
        made += [change(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*made, change(text[at:])])


def map_code_spans(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to every `code span`, its ticks included, and to nothing else."""
    return PIECES.sub(lambda m: change(m[0]) if m["code"] else m[0], text)


def draw_mathematics(text: str) -> str:
    """Markdown with its formulas as MathML. ValueError names one that cannot be read."""

    def drawn(match: re.Match[str]) -> str:
        if match["fence"] or match["code"]:
            return match[0]
        latex, display = match["shown"] or match["said"], match["shown"] is not None
        formula = as_mathml(latex, display=display).translate(_MARKS).replace("\n", " ")
        return f'<span class="long-formula">{formula}</span>' if not display and len(latex) > LONG else formula

    return PIECES.sub(drawn, text)
