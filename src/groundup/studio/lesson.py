"""A chapter's lesson.md as pieces of a page: the part about one row, formulas as MathML, commands apart, so that they can be copied.

Formulas are drawn by the browser itself: no script, no font and no network is needed. The lesson is a file of the checkout; raw HTML in
it is shown as text all the same, and a link leads only to the web or to nowhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Literal

from groundup.core.errors import DataError
from groundup.learn.mathematics import LONG, PIECES, as_mathml

_ROW = re.compile(r"^##\s+(\d+\.\d+)\b[^\n]*$", re.M)
_TITLE = re.compile(r"\A\s*#\s[^\n]*\n")
_MARK = "formula{}x{}end"
"""Stands for a formula while Markdown is read; letters and digits alone, which Markdown leaves alone."""
_SHELLS = frozenset({"bash", "sh", "shell", "console"})


@dataclass(frozen=True, kw_only=True)
class Piece:
    kind: Literal["html", "commands"]
    text: str
    """HTML, or lines to type."""


def lesson_pieces(path: Path, row: str = "") -> tuple[Piece, ...]:
    """What the lesson says about a row; row "": its introduction. Empty where it says nothing."""
    try:
        stamp = path.stat()
        return _pieces(path, stamp.st_mtime_ns, row)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


@lru_cache(maxsize=64)
def _pieces(path: Path, stamp: int, row: str) -> tuple[Piece, ...]:
    return tuple(to_pieces(sections(path.read_text(encoding="utf-8")).get(row, "")))


def sections(text: str) -> dict[str, str]:
    """Row -> Markdown below its heading `## 5.4 ...`; "" -> what comes before the first, without the title."""
    heads = [m for m in _ROW.finditer(text) if not _in_fence(text, m.start())]
    ends = [*(m.start() for m in heads[1:]), len(text)]
    found = {"": _TITLE.sub("", text[: heads[0].start() if heads else len(text)]).strip()}
    found.update({m[1]: text[m.end() : end].strip() for m, end in zip(heads, ends)})
    return found


def _in_fence(text: str, at: int) -> bool:
    return len(re.findall(r"^ {0,3}(?:`{3,}|~{3,})", text[:at], re.M)) % 2 == 1


def to_pieces(text: str) -> list[Piece]:
    """Markdown -> HTML, with the blocks of commands between."""
    pieces: list[Piece] = []
    rest: list[str] = []
    formulas: list[tuple[str, bool]] = []
    # A mark that the text itself does not hold.
    salt = next(n for n in range(len(text) + 1) if f"x{n}end" not in text)

    def flush() -> None:
        prose = "".join(rest)
        if prose.strip():
            pieces.append(Piece(kind="html", text=to_html(prose, formulas, salt)))
        rest.clear()

    at = 0
    for match in PIECES.finditer(text):
        rest.append(text[at : match.start()])
        at = match.end()
        if match["fence"] and match["kind"].strip().lower() in _SHELLS:
            flush()
            pieces.append(Piece(kind="commands", text=match["inside"].strip("\n")))
        elif match["shown"] or match["said"]:
            shown = match["shown"] is not None
            formulas.append((match["shown"] if shown else match["said"], shown))
            mark = _MARK.format(len(formulas) - 1, salt)
            rest.append(f"\n\n{mark}\n\n" if shown and _alone(text, match) else mark)
        else:
            rest.append(match[0])
    rest.append(text[at:])
    flush()
    return pieces


def _alone(text: str, match: re.Match[str]) -> bool:
    """Whether a formula stands on lines of its own, outside lists and tables."""
    before, after = text[: match.start()].rpartition("\n")[2], text[match.end() :].partition("\n")[0]
    return not before and not after.strip(" .,;:")


def to_html(text: str, formulas: list[tuple[str, bool]], salt: int) -> str:
    import markdown2

    html: str = markdown2.markdown(
        text, extras=["fenced-code-blocks", "tables", "cuddled-lists", "strike"], safe_mode="escape"
    )
    html = re.sub(r'<a href="([^"]*)"([^>]*)>(.*?)</a>', _link, html, flags=re.S)
    html = re.sub(
        r"<table>(.*?)</table>", r'<div class="ln-scroll" tabindex="0"><table>\1</table></div>', html, flags=re.S
    )
    html = html.replace("<pre>", '<pre tabindex="0">')
    html = re.sub(
        rf"<p>formula(\d+)x{salt}end([.,;:]?)</p>",
        lambda m: f'<div class="ln-scroll ln-formula" tabindex="0">{mathml(*formulas[int(m[1])])}{m[2]}</div>',
        html,
    )
    return re.sub(rf"formula(\d+)x{salt}end", lambda m: _within(*formulas[int(m[1])]), html)


def _within(latex: str, display: bool) -> str:
    """A formula in a line of text; a long one, which a line cannot break, scrolls by itself."""
    drawn = mathml(latex, display)
    return f'<span class="ln-long" tabindex="0">{drawn}</span>' if display or len(latex) > LONG else drawn


def _link(match: re.Match[str]) -> str:
    address, inside = match[1], match[3]
    if address.startswith(("https://", "http://")):
        return f'<a href="{address}" target="_blank" rel="noopener noreferrer">{inside}</a>'
    return f"<span>{inside}</span>"


@lru_cache(maxsize=512)
def mathml(latex: str, display: bool = False) -> str:
    """A formula as the browser draws it; as it was written where it cannot be read, or the converter is not installed."""
    try:
        return as_mathml(latex, display=display)
    except (ValueError, ImportError):
        return f"<code>{escape(latex.strip())}</code>"


def command_lines(block: str) -> list[str]:
    """The commands of a block, one each: continued lines together, comments of their own left out."""
    joined = re.sub(r"\\\n\s*", "", block)
    lines = (re.sub(r"\s{2,}#", "  #", line.strip()) for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
