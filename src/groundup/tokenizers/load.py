"""Open whatever tokenizer a directory or file holds."""

from __future__ import annotations

from pathlib import Path

from groundup.core.protocols import Tokenizer

from . import char, word


def load_tokenizer(path: Path | str) -> Tokenizer:
    """A character tokenizer where there is `char_tokenizer.json`, words where there is `word_tokenizer.json`, else byte-level BPE
    (see `bpe_files` for the forms).

    Raises TokenizerError when there is no tokenizer, or one that is malformed or of a kind not supported.
    """
    path = Path(path)
    if path.name == char.FILE_NAME or (path / char.FILE_NAME).is_file():
        return char.CharTokenizer.load(path)
    if path.name == word.FILE_NAME or (path / word.FILE_NAME).is_file():
        return word.WordTokenizer.load(path)
    from .bpe import BPETokenizer

    return BPETokenizer.load(path)


def unit_of(tokenizer: Tokenizer) -> str:
    """What one id stands for, in words: character, word, or token. Perplexity is per this unit."""
    if isinstance(tokenizer, char.CharTokenizer):
        return "character"
    return "word" if isinstance(tokenizer, word.WordTokenizer) else "token"
