"""Token ids to text as they come, never half a character."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from groundup.core.protocols import Tokenizer


class StreamDecoder:
    """Incremental `decode`: the strings that `push` and `finish` give, joined, equal `tokenizer.decode` of all ids.

    A character whose bytes are spread over several tokens comes out with the token that completes it. Bytes that can no longer
    become a character come out as U+FFFD as soon as that is certain. `skip`: ids that give no text, such as end-of-text.
    """

    def __init__(self, tokenizer: Tokenizer, *, skip: Iterable[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._skip = frozenset(skip)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, ids: Iterable[int]) -> str:
        """The text that is certain once these ids have followed the ones before."""
        data = b"".join(self._tokenizer.token_bytes(i) for i in ids if i not in self._skip)
        return self._utf8.decode(data)

    def finish(self) -> str:
        """What is left: U+FFFD for an unfinished character. The decoder can then be used for another stream."""
        rest = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return rest
