"""Formulas in Markdown: where they are, and each as MathML, which browsers draw without a script, a font or a network.

`$...$` is inline and `$$...$$` a display, as in the lessons and in marimo. A dollar inside code is a dollar. The studio and the
documentation site read lessons by this.
"""

from __future__ import annotations

import re

PIECES = re.compile(
    r"(?P<fence>^(?P<indent>[ \t]*)(?P<marks>`{3,}|~{3,})(?P<kind>[^\n`]*)\n(?P<inside>.*?)^(?P=indent)(?P=marks)[ \t]*$)"
    r"|(?P<code>(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|\$\$(?P<shown>.+?)\$\$"
    r"|(?<![\\$\w])\$(?P<said>[^\s$](?:[^$\n]|\n(?!\n))*?(?<![\s\\]))\$(?![\d$])",
    re.S | re.M,
)
"""A block of code (fence), a span of code (code), a display (shown) or an inline formula (said)."""
LONG = 32
"""Characters of LaTeX from which on a formula in a line may be wider than a phone: it scrolls by itself."""


def as_mathml(latex: str, *, display: bool) -> str:
    """One formula. ValueError names the formula that cannot be read; ImportError without the extra `learn`."""
    import latex2mathml.converter

    # The converter knows the table of aligned lines by its other name alone, and `arg` only with what follows it.
    known = re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", latex.strip()).replace("{aligned}", "{align*}")
    try:
        drawn = str(latex2mathml.converter.convert(known, display="block" if display else "inline"))
    except Exception as error:  # it fails in many ways, none of them its own
        raise ValueError(f"the formula {latex.strip()!r} cannot be read: {type(error).__name__}: {error}") from error
    unknown = re.search(r"<m\w+[^>]*>(\\\w+)</m", drawn)
    if unknown:
        raise ValueError(
            f"the formula {latex.strip()!r} has {unknown[1]}, which is not known; write it with a plainer command"
        )
    return drawn
