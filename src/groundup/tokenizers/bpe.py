"""Byte-level byte-pair encoding: any text to ids and back without loss.

What is here is the object that recipes, engines and servers hold; the parts are `patterns` and `scanners` (cutting text into
pieces), `merge_tables` and `encode_kernel` (merging), `bpe_train` (learning), `bpe_files` (tokenizer.json, GPT-2, tiktoken).
Left out: BPE over characters with byte fallback (SentencePiece), dropout, prefixes and suffixes of words.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.core.errors import TokenizerError

from .patterns import rule_of
from .vocabulary import BPEVocabulary

if TYPE_CHECKING:
    import numpy as np

    from .bpe_train import BPETrainConfig, Merge, Progress
    from .merge_tables import MergeTables
    from .splitter import Splitter

_THREADED_BYTES = 1 << 20
"""Shorter texts are encoded on the caller's thread: starting two costs about 0.1 ms, encoding this much about 20 ms."""
_PART_BYTES = 1 << 19


class BPETokenizer:
    """A `groundup.core.protocols.Tokenizer`. Immutable and safe from many threads.

    Tables for encoding are made at first use (tens of milliseconds; seconds on a machine that has never compiled them).
    """

    def __init__(self, vocabulary: BPEVocabulary) -> None:
        self.vocabulary = vocabulary
        size = max([len(vocabulary.tokens), *(i + 1 for i in vocabulary.added.values())], default=0)
        self._bytes: list[bytes] = list(vocabulary.tokens) + [b""] * (size - len(vocabulary.tokens))
        for form, token_id in vocabulary.added.items():
            self._bytes[token_id] = form.encode("utf-8")
        self._skip = frozenset(i for form, i in vocabulary.added.items() if form not in vocabulary.plain_added)

    # --- making and keeping

    @classmethod
    def train(
        cls,
        texts: Iterable[str | Path],
        config: BPETrainConfig,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        merge: Merge | None = None,
    ) -> BPETokenizer:
        """Learn a vocabulary from texts; a Path is read as a UTF-8 file. Texts are taken one at a time and not kept. merge: another way
        to learn the merges (own_trainer.py)."""
        from .bpe_train import learn

        learned = learn(texts, config, on_progress, merge=merge)
        return cls(
            BPEVocabulary(
                tokens=learned.tokens,
                merges=learned.merges,
                rule=rule_of(config.pattern),
                added={form: i for i, form in enumerate(learned.special_tokens)},
            )
        )

    @classmethod
    def load(cls, path: Path | str) -> BPETokenizer:
        """Read a directory or file: tokenizer.json, vocab.json with merges.txt, or tiktoken ranks (plain or .gz).

        Raises TokenizerError naming the file and what in it is malformed or not supported.
        """
        from .bpe_files import read_vocabulary

        return cls(read_vocabulary(Path(path)))

    def save(self, directory: Path | str) -> None:
        """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, which transformers opens as they are."""
        from .bpe_files import write_directory

        write_directory(self.vocabulary, Path(directory))

    # --- the protocol

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens and unused ids below the highest one included."""
        return len(self._bytes)

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Written form of each special or added token, and its id."""
        return self.vocabulary.added

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """Token ids. Special tokens written out in `text` are ordinary text unless `allow_special`; then the longest wins."""
        ids: list[int] = self.encode_array(text, allow_special=allow_special).tolist()
        return ids

    def encode_array(self, text: str, *, allow_special: bool = False, num_threads: int = 0) -> np.ndarray:
        """Token ids, int32 [tokens]. num_threads: for texts over a megabyte; 0 takes every core."""
        import numpy as np

        if not allow_special or self._special_pattern is None:
            return self._encode_plain(text, num_threads)
        parts: list[np.ndarray] = []
        at = 0
        for match in self._special_pattern.finditer(text):
            if match.start() > at:
                parts.append(self._encode_plain(text[at : match.start()], num_threads))
            parts.append(np.array([self.vocabulary.added[match.group()]], np.int32))
            at = match.end()
        if at < len(text):
            parts.append(self._encode_plain(text[at:], num_threads))
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def encode_many(
        self, texts: Sequence[str], *, allow_special: bool = False, num_threads: int = 0
    ) -> list[np.ndarray]:
        """Ids of many texts, each int32 [tokens], in order; texts are shared out over the threads."""
        from .piece_counts import num_cores

        threads = num_threads or num_cores()
        if threads == 1 or len(texts) < 2:
            return [self.encode_array(text, allow_special=allow_special, num_threads=num_threads) for text in texts]
        share = max(1, min(256, len(texts) // (4 * threads)))

        def work(start: int) -> list[np.ndarray]:
            part = texts[start : start + share]
            return [self.encode_array(text, allow_special=allow_special, num_threads=1) for text in part]

        with ThreadPoolExecutor(threads) as pool:
            return [ids for part in pool.map(work, range(0, len(texts), share)) for ids in part]

    def encode_batch(self, texts: Sequence[str], *, allow_special: bool = False) -> list[list[int]]:
        """`encode` of many texts."""
        return [ids.tolist() for ids in self.encode_many(texts, allow_special=allow_special)]

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Text; bytes that are not UTF-8 become U+FFFD. Raises TokenizerError for an id outside the vocabulary."""
        skip = self._skip if skip_special else ()
        return b"".join(self.token_bytes(i) for i in ids if i not in skip).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes one id stands for; special tokens give their written form, ids that are not used give none."""
        if not 0 <= token_id < len(self._bytes):
            raise TokenizerError(
                f"token id {token_id} is not in 0 .. {len(self._bytes) - 1}",
                hint="was this model trained with another tokenizer?",
            )
        return self._bytes[token_id]

    # --- inside

    @cached_property
    def _special_pattern(self) -> re.Pattern[str] | None:
        forms = sorted(self.vocabulary.added, key=lambda form: (-len(form), form))
        return re.compile("|".join(map(re.escape, forms))) if forms else None

    @cached_property
    def _ready(self) -> tuple[Splitter, MergeTables]:
        from .merge_tables import tables_of
        from .splitter import Splitter

        return Splitter(self.vocabulary.rule), tables_of(self.vocabulary)

    def _encode_plain(self, text: str, num_threads: int) -> np.ndarray:
        import numpy as np

        from .piece_counts import num_cores
        from .splitter import as_bytes

        if self.vocabulary.nfc and not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
        data = as_bytes(text)
        threads = 1 if len(data) < _THREADED_BYTES else num_threads or num_cores()
        if threads == 1:
            return self._encode_part(data, 0, len(data))
        cuts = self._ready[0].cuts(data, _PART_BYTES)
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(lambda span: self._encode_part(data, *span), itertools.pairwise(cuts))))

    def _encode_part(self, data: np.ndarray, start: int, stop: int) -> np.ndarray:
        import numpy as np

        splitter, tables = self._ready
        out = np.empty(stop - start, np.int32)
        written = 0
        for at, ends, count in splitter.blocks(data, start, stop):
            written, _ = tables.encode(data, at, ends, count, out, written)
            if written < 0:
                byte = int(data[-1 - written])
                raise TokenizerError(
                    f"the vocabulary has no token for byte 0x{byte:02x}, so this text cannot be encoded",
                    hint="the tokenizer was trained without the full byte alphabet; train it again with all 256 bytes",
                )
        return out[:written].copy()
