"""One written form for the same text: line ends, control characters, byte-order marks, lone surrogates, Unicode NFC.

Words, spaces and case are left as they are: what a language model is to write, it must have read. NFKC is not offered,
since it changes meaning (x² becomes x2). Unicode Standard Annex 15.
"""

from __future__ import annotations

import re
import unicodedata

# C0 without tab and newline, DEL, and C1; the ASCII half is its own pattern because ASCII text needs nothing else.
_ASCII_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def normalise(text: str) -> str:
    """`text` in normal form. Applying it twice changes nothing; the result always encodes as UTF-8."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii():
        return _ASCII_CONTROL.sub("", text)
    # NEL is a line end that came from EBCDIC; the other C1 codes have no meaning in text.
    text = _CONTROL.sub("", text.replace("\x85", "\n"))
    text = _SURROGATE.sub("\ufffd", text).lstrip("\ufeff")
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)
