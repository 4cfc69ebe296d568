"""Word-level tokenizer with a closed vocabulary: words between white space, one id for the end of a line, one for unknown words.

The form of the classic language-model corpora (Penn Treebank as prepared by Mikolov et al. 2011, WikiText): a sentence a line,
words apart by spaces, rare words already written as `<unk>`, and the end of the line predicted like any word.

What it cannot give back: `decode(encode(text))` is the text only up to white space (every word is written with one space before
it, every line end as "\\n"), letter case where `lower_case` is set, and words outside the vocabulary, which become the unknown
word. So it does not keep the promise of `core.protocols.Tokenizer.decode`, and bits per byte of a text with unknown words is not
a code length of that text; perplexity per word is what it is for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from groundup.core.artifact import read_json, write_json
from groundup.core.errors import ArtifactError, DataError, TokenizerError

FILE_NAME = "word_tokenizer.json"
UNKNOWN, END_OF_LINE = "<unk>", "<eos>"
_TYPE = "words"
_MARKS_APART = re.compile(r"<[A-Za-z0-9_|]+>|\w+|[^\w\s]")
"""A form in angle brackets (<unk>), a run of letters and digits, or one mark."""


class WordTokenizer:
    """A `groundup.core.protocols.Tokenizer`. Ids: special tokens, the unknown word, the end of a line, then `words` in order.

    The unknown word and the end of a line are ordinary ids (a text may hold `<unk>`, and means it): only `special_tokens` are
    special, and written out in a text those are unknown words unless allowed.
    """

    def __init__(
        self,
        words: Sequence[str],
        special_tokens: Sequence[str] = (),
        *,
        unknown: str = UNKNOWN,
        end_of_line: str = END_OF_LINE,
        lower_case: bool = False,
        marks_apart: bool = False,
    ) -> None:
        """lower_case: texts are read in lower case. marks_apart: punctuation marks are words of their own."""
        self.unknown, self.end_of_line = unknown, end_of_line
        self.lower_case, self.marks_apart = lower_case, marks_apart
        self._special = {form: i for i, form in enumerate(special_tokens)}
        self._forms = [*special_tokens, unknown, end_of_line, *words]
        self._ids = {form: i for i, form in enumerate(self._forms) if i >= len(special_tokens)}
        if len(set(self._forms)) != len(self._forms):
            twice = next(form for form, count in Counter(self._forms).items() if count > 1)
            raise TokenizerError(f"{twice!r} is twice among the words and special tokens")
        wrong = next((form for form in self._forms if len(form.split()) != 1 or form.split()[0] != form), None)
        if wrong is not None:
            raise TokenizerError(f"{wrong!r} is no word: a word is not empty and holds no white space")
        self.unknown_id = len(special_tokens)
        self.end_of_line_id = self.unknown_id + 1

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int = 0,
        min_frequency: int = 1,
        special_tokens: Sequence[str] = (),
        lower_case: bool = False,
        marks_apart: bool = False,
    ) -> WordTokenizer:
        """The most frequent words, those of one frequency in code-point order. vocab_size: of all ids; 0 takes every word.

        Raises DataError when there is no word, TokenizerError when vocab_size has no room for one.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(split_words(text, lower_case=lower_case, marks_apart=marks_apart))
        fixed = {*special_tokens, UNKNOWN, END_OF_LINE}
        found = [(w, n) for w, n in counts.items() if n >= min_frequency and w not in fixed]
        if not found:
            raise DataError(
                f"there is no word that comes {min_frequency} times or more"
                if counts
                else "there is no word in the text",
                hint="check the data stage, or lower min_frequency",
            )
        room = len(found) if vocab_size == 0 else vocab_size - len(special_tokens) - 2
        if room < 1:
            raise TokenizerError(
                f"vocab_size {vocab_size} has no room for words beside {len(special_tokens)} special tokens, "
                f"{UNKNOWN} and {END_OF_LINE}",
                hint="0 takes every word",
            )
        words = [word for word, _ in sorted(found, key=lambda pair: (-pair[1], pair[0]))[:room]]
        return cls(words, special_tokens, lower_case=lower_case, marks_apart=marks_apart)

    @classmethod
    def load(cls, path: Path | str) -> WordTokenizer:
        """Read `word_tokenizer.json`, or the directory that holds it."""
        path = Path(path)
        path = path / FILE_NAME if path.is_dir() else path
        try:
            raw = read_json(path)
        except (ArtifactError, OSError) as error:
            raise TokenizerError(str(error), hint="make the tokenizer again") from None
        if not isinstance(raw, dict) or raw.get("type") != _TYPE:
            raise TokenizerError(f"{path} is not a word tokenizer", hint="load_tokenizer(directory) finds the kind")
        lists = raw.get("words"), raw.get("special_tokens")
        if not all(isinstance(part, list) and all(isinstance(form, str) for form in part) for part in lists):
            raise TokenizerError(f"{path}: 'words' and 'special_tokens' are not lists of strings")
        forms = {name: raw.get(name) for name in ("unknown", "end_of_line")}
        flags = {name: raw.get(name) for name in ("lower_case", "marks_apart")}
        if not all(isinstance(v, str) for v in forms.values()) or not all(isinstance(v, bool) for v in flags.values()):
            raise TokenizerError(
                f"{path}: unknown and end_of_line must be words, lower_case and marks_apart true or false"
            )
        return cls(*lists, **forms, **flags)  # type: ignore[arg-type, misc]

    def save(self, directory: Path | str) -> None:
        """Write `word_tokenizer.json`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        value = {
            "type": _TYPE,
            "unknown": self.unknown,
            "end_of_line": self.end_of_line,
            "lower_case": self.lower_case,
            "marks_apart": self.marks_apart,
            "special_tokens": list(self._special),
            "words": self._forms[self.end_of_line_id + 1 :],
        }
        write_json(directory / FILE_NAME, value)

    @property
    def vocab_size(self) -> int:
        return len(self._forms)

    @property
    def special_ids(self) -> Mapping[str, int]:
        return MappingProxyType(self._special)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """One id per word, and one per line end. Never fails: words outside the vocabulary are the unknown word."""
        ids, unknown = self._ids, self.unknown_id
        made: list[int] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                made.append(self.end_of_line_id)
            words = split_words(line, lower_case=self.lower_case, marks_apart=self.marks_apart)
            if allow_special and self._special:
                made += [self._special.get(word, ids.get(word, unknown)) for word in words]
            else:
                made += [ids.get(word, unknown) for word in words]
        return made

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        """Every word with a space before it, a line end as a line end."""
        least = len(self._special) if skip_special else 0
        return "".join(self._written(i) for i in ids if i >= least or i < 0)

    def token_bytes(self, token_id: int) -> bytes:
        return self._written(token_id).encode("utf-8", "surrogatepass")

    def _written(self, token_id: int) -> str:
        if not 0 <= token_id < len(self._forms):
            raise TokenizerError(f"token id {token_id} is not in 0 .. {len(self._forms) - 1}")
        if token_id == self.end_of_line_id:
            return "\n"
        return self._forms[token_id] if token_id < self.unknown_id else " " + self._forms[token_id]


def split_words(text: str, *, lower_case: bool = False, marks_apart: bool = False) -> list[str]:
    """The words of a text; line ends are white space like any other here."""
    text = text.lower() if lower_case else text
    return _MARKS_APART.findall(text) if marks_apart else text.split()
