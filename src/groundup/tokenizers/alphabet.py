"""The byte alphabet of GPT-2: each of the 256 bytes as one printable character, so that JSON and text files can hold tokens.

Bytes that print in Latin-1 stand for themselves; the others, in order, become U+0100 onwards.
"""

from __future__ import annotations

_PRINTING = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in set(_PRINTING)]

BYTE_TO_CHAR: tuple[str, ...] = tuple(
    chr(byte) if byte in set(_PRINTING) else chr(0x100 + _OTHERS.index(byte)) for byte in range(256)
)
CHAR_TO_BYTE: dict[str, int] = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}
ALPHABET_ORDER: tuple[int, ...] = (*_PRINTING, *_OTHERS)
"""The bytes in the order of their characters: the order in which a trained vocabulary lists them."""


def to_chars(data: bytes) -> str:
    return "".join(BYTE_TO_CHAR[byte] for byte in data)


def to_bytes(chars: str) -> bytes | None:
    """The bytes that `chars` write; None when a character is not in the alphabet."""
    try:
        return bytes([CHAR_TO_BYTE[char] for char in chars])
    except KeyError:
        return None
