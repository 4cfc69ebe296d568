"""Bytes to text, saying what had to be assumed.

Order of trust: a byte-order mark; Python's own declaration (PEP 263) in Python source; strict UTF-8; then Windows-1252,
the commonest single-byte encoding of Western text, of which Latin-1 is the fallback for its five unassigned bytes. Text
that was UTF-8 once and was read as Windows-1252 by somebody earlier ("donâ€™t") is turned back. Legacy East Asian
encodings are not guessed at: convert such files, or give them a byte-order mark.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from dataclasses import dataclass

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: its mark starts with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Character -> the character of its Windows-1252 byte; the five bytes without one stand for themselves, as browsers do it.
_WINDOWS_BYTES = {
    ord(bytes([byte]).decode("cp1252")): byte
    for byte in range(0x80, 0xA0)
    if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
# How the lead byte of a two- or three-byte UTF-8 sequence and its continuation look when read as Windows-1252.
_MOJIBAKE = re.compile("[\u00c2\u00c3\u00e2\u00d0\u00d1][\u0080-\u00bf\u20ac\u201a-\u2122\u0152-\u0192]")
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_ENOUGH_RUNS = 3
_SNIFF_BYTES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    text: str
    repaired: str = ""
    """What was assumed or turned back; empty where the bytes were plain UTF-8 or said what they were."""


def looks_binary(data: bytes) -> bool:
    """A NUL in the first 8 KB and no byte-order mark: no text file has one (the test Git uses)."""
    return b"\0" in data[:_SNIFF_BYTES] and not any(data.startswith(mark) for mark, _ in _MARKS)


def decode(data: bytes, *, python: bool = False) -> Decoded:
    """Text of `data`. Never fails: the last resort, Latin-1, maps every byte.

    python: honour a coding declaration in the first two lines.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return Decoded(text=data.decode(encoding))
            except UnicodeDecodeError:
                return Decoded(
                    text=data.decode(encoding, errors="replace"),
                    repaired=f"{encoding} by its byte-order mark, but with invalid sequences",
                )
    if python:
        declared = _declared(data)
        if declared not in ("", "utf-8"):
            try:
                return Decoded(text=data.decode(declared))
            except (UnicodeDecodeError, LookupError):
                pass
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        turned = None if python else undo_mojibake(text)  # source that tests encodings says such things on purpose
        return Decoded(text=text) if turned is None else Decoded(text=turned, repaired="UTF-8 that was encoded twice")
    try:
        return Decoded(text=data.decode("cp1252"), repaired="not UTF-8, read as Windows-1252")
    except UnicodeDecodeError:
        return Decoded(text=data.decode("latin-1"), repaired="not UTF-8, read as Latin-1")


def undo_mojibake(text: str) -> str | None:
    """The text with what was UTF-8 and misread as Windows-1252 turned back, or None where nothing was.

    Each run of non-ASCII characters is looked at alone: it is turned if it has bytes in Windows-1252 and those are valid
    UTF-8. That happens by chance, so one or two such runs count only where they are all there are.
    """
    if text.isascii() or not _MOJIBAKE.search(text):
        return None
    turned = left = 0

    def turn(run: re.Match[str]) -> str:
        nonlocal turned, left
        try:
            made = run[0].translate(_WINDOWS_BYTES).encode("latin-1").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            left += 1
            return run[0]
        turned += 1
        return made

    result = _NOT_ASCII.sub(turn, text)
    return result if turned >= _ENOUGH_RUNS or (turned and not left) else None


def _declared(data: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data[:_SNIFF_BYTES]).readline)
    except (SyntaxError, UnicodeDecodeError):
        return ""
    return encoding
