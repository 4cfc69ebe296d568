"""LaTeX in Markdown as MathML, made when the site is built: browsers draw it, and no script or font is loaded for it.

`$...$` is inline and `$$...$$` on its own is a display, as in the lessons and in marimo. A dollar inside code is a dollar.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_PIECES = re.compile(
    r"(?P<fence>^(?P<indent>[ \t]*)(?P<marks>```+|~~~+)[^\n]*\n.*?^(?P=indent)(?P=marks)[ \t]*$)"
    r"|(?P<code>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<display>\$\$(?P<shown>.+?)\$\$)"
    r"|(?P<inline>(?<![\\$\w])\$(?P<said>[^\s$](?:[^$]{0,400}?[^\s$\\])?)\$(?![\d$]))",
    re.S | re.M,
)
_LONG = 32
"""Characters of LaTeX from which on a formula in a line may be wider than a phone: it scrolls by itself."""
# What Markdown would read as its own marks, inside MathML.
_MARKS = str.maketrans({c: f"&#{ord(c)};" for c in "*_[]`|~^\\"})


def as_mathml(latex: str, *, display: bool) -> str:
    """One formula. ValueError names the formula that cannot be read."""
    import latex2mathml.converter

    # The converter knows the table of aligned lines by its other name alone, and `arg` only with what follows it.
    known = re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", latex.strip()).replace("{aligned}", "{align*}")
    try:
        drawn = latex2mathml.converter.convert(known, display="block" if display else "inline")
    except Exception as error:
        raise ValueError(f"the formula {latex.strip()!r} cannot be read: {type(error).__name__}: {error}") from error
    unknown = re.search(r"<m\w+[^>]*>(\\\w+)</m", drawn)
    if unknown:
        raise ValueError(
            f"the formula {latex.strip()!r} has {unknown[1]}, which is not known; write it with a plainer command"
        )
    return drawn.translate(_MARKS).replace("\n", " ")


def map_prose(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to everything that is neither code nor mathematics."""
    made, at = [], 0
    for match in _PIECES.finditer(text):
        made += [change(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*made, change(text[at:])])


def map_code_spans(text: str, change: Callable[[str], str]) -> str:
    """`text` with `change` applied to every `code span`, its ticks included, and to nothing else."""
    return _PIECES.sub(lambda m: change(m[0]) if m["code"] else m[0], text)


def draw_mathematics(text: str) -> str:
    """Markdown with its formulas as MathML."""

    def drawn(match: re.Match[str]) -> str:
        if match["display"]:
            return as_mathml(match["shown"], display=True)
        if not match["inline"]:
            return match[0]
        formula = as_mathml(match["said"], display=False)
        return f'<span class="long-formula">{formula}</span>' if len(match["said"]) > _LONG else formula

    return _PIECES.sub(drawn, text)
