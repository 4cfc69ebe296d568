"""One way of writing for what LaTeX, Unicode and Markdown write in many, before an answer is read. Every rule is linear in the text."""

from __future__ import annotations

import re
import unicodedata

_SIGNS = str.maketrans(
    {
        "−": "-", "–": "-", "‐": "-", "‑": "-", "×": "*", "⋅": "*", "·": "*", "÷": "/", "⁄": "/", "∕": "/", "π": " pi ",
        "∞": " \\infty ", "∪": " \\cup ", "√": " sqrt ", "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ",
        "\u2009": " ", "\u202f": " ",
    }
)  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|displaystyle)(?![a-zA-Z])\.?")
_SPACES = re.compile(r"\\[,;:> ]|~|\\q?quad(?![a-zA-Z])")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree(?![a-zA-Z])")
_SHORT_FRACTION = re.compile(r"(\\[dtc]?frac)\s*(\d)\s*(\d)")
_SHORT_FRACTION_TOP = re.compile(r"(\\[dtc]?frac)\s*(\d)\s*\{")
_SHORT_FRACTION_BOTTOM = re.compile(r"(\\[dtc]?frac)\s*(\{[^{}]*\})\s*(\d)")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\d)")
_THIN_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\,|\\!,|,\\!)(?=\d{3}(?!\d))")


def cleaned(text: str) -> str:
    """An answer with one notation for each thing, single spaces, and no quotes, dollars or full stop around it."""
    text = text.translate(_SIGNS)
    text = _RAISED_RUN.sub(lambda match: f"^{{{match[0].translate(_RAISED)}}}", text)
    text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]).replace("⁄", "/"), text)
    text = unicodedata.normalize("NFKC", text)
    text = _THIN_THOUSANDS.sub(",", _bare(text))
    if "\\" in text:
        text = _without_latex(text)
    text = _bare(" ".join(text.split()))
    return text


def _without_latex(text: str) -> str:
    text = text.replace("\\$", "$").replace("\\%", "%").replace("\\{", "{").replace("\\}", "}")
    text = text.replace("\\!", "")
    text = _TEXT.sub(r" \1 ", text)
    text = _SIZES.sub("", text)
    text = _SPACES.sub(" ", text)
    text = _DEGREES.sub("°", text)
    text = _SHORT_FRACTION.sub(r"\1{\2}{\3}", text)
    text = _SHORT_FRACTION_TOP.sub(r"\1{\2}{", text)
    text = _SHORT_FRACTION_BOTTOM.sub(r"\1\2{\3}", text)
    return _SHORT_ROOT.sub(r"\\sqrt{\1}", text)


def _bare(text: str) -> str:
    """Without what stands around a whole answer: mathematics marks, \\boxed, quotes, Markdown, a full stop."""
    for _ in range(4):
        before = text
        text = text.strip()
        if text.endswith(".") and not text.endswith((".m.", " m.")):
            text = text[:-1].rstrip()
        for opens, closes in (
            ("$$", "$$"),
            ("$", "$"),
            ("\\(", "\\)"),
            ("\\[", "\\]"),
            ("**", "**"),
            ("`", "`"),
            ('"', '"'),
            ("'", "'"),
        ):
            if text.startswith(opens) and text.endswith(closes) and len(text) > len(opens) + len(closes):
                inside = text[len(opens) : -len(closes)]
                if opens not in inside:
                    text = inside
        if text.startswith("\\boxed{") and text.endswith("}"):
            text = text[len("\\boxed{") : -1]
        if text == before:
            break
    return text
