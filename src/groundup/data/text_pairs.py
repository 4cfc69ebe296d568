"""Questions and answers from any text, for corpora without Python: continue a passage, name its document, open a document.

They teach a model the form of a conversation about the user's own text; what it can know is what it read in pre-training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import PurePosixPath

from ..core.types import Document
from .python_pairs import Pair

CONTINUE, SOURCE, OPENING = "continue", "source", "opening"

_MIN_PASSAGE = 120
_MAX_PASSAGE = 700
_MAX_ANSWER = 420
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])[\"'”’)]*\s+|(?<=[。！？])|\n")
_MARKUP_TITLE = re.compile(r"\A\s*#{1,3}\s+(.+)")

PHRASINGS = {
    CONTINUE: (
        "Continue this passage:\n\n{passage}",
        "What comes next?\n\n{passage}",
        "Go on from here:\n\n{passage}",
        "Write the next lines.\n\n{passage}",
    ),
    SOURCE: (
        "Which document is this passage from?\n\n{passage}",
        "Where does this stand?\n\n{passage}",
        "Name the source of this text:\n\n{passage}",
    ),
    OPENING: (
        "How does “{title}” begin?",
        "Give the first paragraph of “{title}”.",
        "What stands at the beginning of “{title}”?",
    ),
}


def title_of(document: Document) -> str:
    """The document's own title, its first heading, or its file name; "" for a part of a file that has neither."""
    given = str(document.meta.get("title", "")).strip()
    heading = _MARKUP_TITLE.match(document.text)
    name = "" if "part" in document.meta else PurePosixPath(document.id.partition("@")[0]).name
    return given or (heading.group(1).strip() if heading else "") or name


def pairs_of(document: Document, *, named: bool) -> Iterator[Pair]:
    """Every pair of one document. named=False leaves out the kinds that ask for a title, as do documents without one."""
    title = title_of(document) if named else ""
    passages = list(passages_of(document.text))
    for number, passage in enumerate(passages):
        cut = cut_passage(passage)
        if cut is not None:
            slots, answer = {"passage": cut[0]}, cut[1]
            yield Pair(id=f"{document.id}::{number}/{CONTINUE}", kind=CONTINUE, slots=slots, answer=answer)
        if title:
            slots = {"passage": _shorten(passage, _MAX_ANSWER)}
            yield Pair(id=f"{document.id}::{number}/{SOURCE}", kind=SOURCE, slots=slots, answer=title)
    if title and passages:
        answer = _shorten(passages[0], _MAX_ANSWER)
        yield Pair(id=f"{document.id}::/{OPENING}", kind=OPENING, slots={"title": title}, answer=answer)


def passages_of(text: str) -> Iterator[str]:
    """Paragraphs of a useful length: short neighbours joined, long ones cut at sentence ends."""
    waiting = ""
    for paragraph in re.split(r"\n\s*\n", text):
        waiting = f"{waiting}\n\n{paragraph.strip()}".strip()
        start = 0  # not cut off at the front each time: a text without paragraphs would be copied over and over
        while len(waiting) - start > _MAX_PASSAGE:
            piece = _shorten(waiting[start : start + _MAX_PASSAGE + 1], _MAX_PASSAGE)
            yield piece.lstrip()
            start += len(piece)
        waiting = waiting[start:].strip()
        if len(waiting) >= _MIN_PASSAGE:
            yield waiting
            waiting = ""


def cut_passage(passage: str) -> tuple[str, str] | None:
    """(first part, what follows it), cut at a sentence end between a quarter and three quarters, else at a space."""
    low, high = len(passage) // 4, 3 * len(passage) // 4
    ends = [match.end() for match in _SENTENCE_END.finditer(passage) if low <= match.end() <= high]
    if ends:
        # Which end is taken depends on the text alone, so that cuts vary and stay the same between runs.
        cut = ends[blake2b(passage.encode(), digest_size=2).digest()[0] % len(ends)]
    else:
        cut = passage.find(" ", low) + 1
        if not 0 < cut <= high:
            return None
    first, rest = passage[:cut].rstrip(), _shorten(passage[cut:].strip(), _MAX_ANSWER)
    return (first, rest) if first and rest else None


def _shorten(text: str, limit: int) -> str:
    """At most `limit` characters, ended at a sentence, else at a space."""
    if len(text) <= limit:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, limit)]
    cut = ends[-1] if ends and ends[-1] > limit // 4 else text.rfind(" ", 1, limit)
    return text[: cut if cut > 0 else limit].rstrip()
