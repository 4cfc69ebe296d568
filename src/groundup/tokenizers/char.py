"""Character-level tokenizer: one id per distinct character of the training text. For small models and first lessons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from groundup.core.artifact import read_json, write_json
from groundup.core.errors import ArtifactError, DataError, TokenizerError

FILE_NAME = "char_tokenizer.json"
_TYPE = "characters"


class CharTokenizer:
    """A `groundup.core.protocols.Tokenizer`. Special tokens, if any, get the first ids; characters follow in code-point order.

    A character that was not in the training text is an error, not an unknown token: nothing is lost in silence.
    """

    def __init__(self, characters: Sequence[str], special_tokens: Sequence[str] = ()) -> None:
        self._forms = [*special_tokens, *characters]
        self._special = {form: i for i, form in enumerate(special_tokens)}
        self._ids = {char: len(special_tokens) + i for i, char in enumerate(characters)}
        if any(len(char) != 1 for char in characters) or not all(special_tokens):
            raise TokenizerError("a character tokenizer takes single characters, and special tokens that are not empty")
        if len(self._ids) != len(characters) or len(self._special) != len(special_tokens):
            raise TokenizerError("a character or special token is there twice")

    @classmethod
    def train(cls, texts: Iterable[str], *, special_tokens: Sequence[str] = ()) -> CharTokenizer:
        """Every distinct character of the texts. Raises DataError when there is none."""
        seen: set[str] = set()
        for text in texts:
            seen.update(text)
        if not seen:
            raise DataError("there is no text to take characters from", hint="check the data stage")
        return cls(sorted(seen), special_tokens)

    @classmethod
    def load(cls, path: Path | str) -> CharTokenizer:
        """Read `char_tokenizer.json`, or the directory that holds it."""
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            raw = read_json(path)
        except (ArtifactError, OSError) as error:
            raise TokenizerError(str(error), hint="make the tokenizer again") from None
        if not isinstance(raw, dict) or raw.get("type") != _TYPE:
            raise TokenizerError(
                f"{path} is not a character tokenizer", hint="load_tokenizer(directory) finds the kind"
            )
        lists = raw.get("characters"), raw.get("special_tokens")
        if not all(isinstance(part, list) and all(isinstance(form, str) for form in part) for part in lists):
            raise TokenizerError(f"{path}: 'characters' and 'special_tokens' are not lists of strings")
        return cls(*lists)  # type: ignore[arg-type]

    def save(self, directory: Path | str) -> None:
        """Write `char_tokenizer.json`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        value = {"type": _TYPE, "special_tokens": list(self._special), "characters": list(self._ids)}
        write_json(directory / FILE_NAME, value)

    @property
    def vocab_size(self) -> int:
        return len(self._forms)

    @property
    def special_ids(self) -> Mapping[str, int]:
        return MappingProxyType(self._special)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """One id per character. Raises TokenizerError naming a character that was not in the training text."""
        if allow_special and self._special:
            return self._encode_special(text)
        try:
            return [self._ids[char] for char in text]
        except KeyError:
            at = next(i for i, char in enumerate(text) if char not in self._ids)
            raise TokenizerError(
                f"the character {text[at]!r} (U+{ord(text[at]):04X}, at {at}) is not among the {len(self._ids)} characters"
                " this tokenizer was trained on",
                hint="leave it out, train on text that has it, or use a byte-level BPE tokenizer",
            ) from None

    def _encode_special(self, text: str) -> list[int]:
        ids: list[int] = []
        forms = sorted(self._special, key=len, reverse=True)
        at = 0
        while at < len(text):
            form = next((form for form in forms if text.startswith(form, at)), None)
            if form is None:
                ids += self.encode(text[at])
                at += 1
            else:
                ids.append(self._special[form])
                at += len(form)
        return ids

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        least = len(self._special) if skip_special else 0
        return "".join(self._form(i) for i in ids if i >= least or i < 0)

    def token_bytes(self, token_id: int) -> bytes:
        return self._form(token_id).encode("utf-8", "surrogatepass")

    def _form(self, token_id: int) -> str:
        if not 0 <= token_id < len(self._forms):
            raise TokenizerError(f"token id {token_id} is not in 0 .. {len(self._forms) - 1}")
        return self._forms[token_id]
