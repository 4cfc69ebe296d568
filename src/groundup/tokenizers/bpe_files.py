"""Files of byte-level BPE tokenizers, read and written.

- `tokenizer.json` (Hugging Face): BPE model over the byte alphabet; pre-tokenizer ByteLevel, or a sequence of Split, Digits and
  ByteLevel; normalizer none or NFC; merges as "a b" or as pairs; `ignore_merges`; added tokens.
- `vocab.json` with `merges.txt` (GPT-2), either of them gzipped or not.
- tiktoken ranks: one line per token, base64 and rank; plain or .gz.

What else such files can say is refused by name. A post-processor is kept and written back, and not applied: `encode` never adds
tokens.
SentencePiece models (Llama 2, T5) are another algorithm over another alphabet and are refused.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundup.core.artifact import write_bytes, write_json
from groundup.core.errors import TokenizerError

from .alphabet import to_bytes, to_chars
from .patterns import DIGITS, GPT2, SCANNERS, compile_pattern, rule_of
from .vocabulary import BPEVocabulary

_TIKTOKEN_KNOWN: dict[str, tuple[str, int, dict[str, int]]] = {
    "r50k_base": ("gpt2", 50256, {"<|endoftext|>": 50256}),
    "cl100k_base": (
        "cl100k_base",
        100256,
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k_base": ("o200k", 199998, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
}
"""Rank files whose pattern and special tokens are published (openai/tiktoken, openai_public.py): pattern, ranks, special tokens."""


def read_vocabulary(path: Path) -> BPEVocabulary:
    """The vocabulary in a file, or in a directory by the first of tokenizer.json, vocab.json, *.tiktoken that it has."""
    if path.is_dir():
        for name in ("tokenizer.json", "tokenizer.json.gz", "vocab.json", "vocab.json.gz"):
            if (path / name).is_file():
                return read_vocabulary(path / name)
        ranks = sorted([*path.glob("*.tiktoken"), *path.glob("*.tiktoken.gz")])
        if len(ranks) == 1:
            return read_tiktoken(ranks[0])
        if (path / "tokenizer.model").is_file():
            raise _sentencepiece(path / "tokenizer.model")
        raise TokenizerError(
            f"{path} has no tokenizer.json, vocab.json or .tiktoken file", hint="groundup tokenizer train makes one"
        )
    if ".tiktoken" in path.name:
        return read_tiktoken(path)
    if path.name.endswith(".model"):
        raise _sentencepiece(path)
    raw = _read_json(path)
    if isinstance(raw, dict) and "model" in raw and type(raw["model"]) is not int:  # GPT-2 has a token "model"
        return from_tokenizer_json(raw, str(path))
    merges = path.with_name(path.name.replace("vocab.json", "merges.txt"))
    if merges != path and (merges.is_file() or merges.with_name(merges.name.removesuffix(".gz")).is_file()):
        return read_gpt2(path, merges if merges.is_file() else merges.with_name(merges.name.removesuffix(".gz")))
    raise TokenizerError(f"{path} is not a tokenizer.json: it has no 'model'", hint="give the directory that holds it")


def _sentencepiece(path: Path) -> TokenizerError:
    return TokenizerError(
        f"{path} is a SentencePiece model; groundup reads byte-level BPE",
        hint="if the model's directory has a byte-level tokenizer.json, give that file",
    )


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.name.endswith(".gz") else data
    except (OSError, EOFError, zlib.error) as error:
        raise TokenizerError(f"cannot read {path}: {error}", hint="check the path, or fetch the file again") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise TokenizerError(
            f"{path} is not valid JSON: {error}", hint="the file was cut or edited; fetch or make it again"
        ) from None


# --- tokenizer.json


def from_tokenizer_json(raw: Any, where: str) -> BPEVocabulary:
    """Read the parsed form. Raises TokenizerError naming the part that is malformed or not supported."""
    reader = _Reader(where)
    model = reader.mapping(raw, "model")
    kind = model.get("type") or ("BPE" if "merges" in model else _guess(model))
    if kind != "BPE":
        raise reader.refuse(f"model of type {kind!r}", "only byte-level BPE is read")
    for key in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "fuse_unk"):
        if model.get(key) and not (key == "fuse_unk" and not model.get("unk_token")) and key != "unk_token":
            raise reader.refuse(f"model.{key} = {model[key]!r}", "byte-level BPE does not have it")
    added, plain = reader.added_tokens(raw.get("added_tokens"))
    rule = reader.rule(raw.get("pre_tokenizer"))
    reader.decoder(raw.get("decoder"))
    vocab = reader.vocab(model.get("vocab"))
    merges = reader.merges(model.get("merges"), vocab)
    for form, token_id in added.items():
        if vocab.get(form, token_id) != token_id:
            raise reader.refuse(f"added token {form!r} with id {token_id}", f"the vocabulary has it as {vocab[form]}")
    tokens = reader.tokens(vocab, added)
    for a, b in merges:
        if not (tokens[a] and tokens[b]):
            raise reader.refuse("a merge of a special token", "special tokens are never merged")
    known = {data for data in tokens if data}
    for a, b in merges:
        if tokens[a] + tokens[b] not in known:
            raise reader.refuse(
                f"the merge of {to_chars(tokens[a])!r} and {to_chars(tokens[b])!r}",
                "its result is not in the vocabulary",
            )
    extra = {"post_processor": raw["post_processor"]} if raw.get("post_processor") else {}
    return BPEVocabulary(
        tokens=tokens,
        merges=merges,
        rule=rule,
        added=added,
        plain_added=plain,
        whole_pieces=bool(model.get("ignore_merges", False)),
        nfc=reader.normalizer(raw.get("normalizer")),
        extra=extra,
    )


def _guess(model: Mapping[str, Any]) -> str:
    """The type of a model in an old file that does not say it."""
    return "Unigram" if isinstance(model.get("vocab"), list) else "WordPiece"


class _Reader:
    """The checks of one file; every error names the file."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, what: str, why: str) -> TokenizerError:
        return TokenizerError(
            f"{self.where}: {what} is not supported: {why}", hint="convert it, or use another tokenizer"
        )

    def malformed(self, what: str) -> TokenizerError:
        return TokenizerError(f"{self.where}: {what}", hint="the file was cut or edited; fetch or make it again")

    def mapping(self, raw: Any, key: str) -> dict[str, Any]:
        value = raw.get(key) if isinstance(raw, dict) else None
        if not isinstance(value, dict):
            raise self.malformed(f"{key!r} is missing or is not an object")
        return value

    def added_tokens(self, raw: Any) -> tuple[dict[str, int], frozenset[str]]:
        added: dict[str, int] = {}
        plain = set()
        for entry in raw or ():
            if not isinstance(entry, dict):
                raise self.malformed("an entry of 'added_tokens' is not an object")
            form, token_id = entry.get("content"), entry.get("id")
            if not isinstance(form, str) or not form or type(token_id) is not int or not 0 <= token_id < 1 << 24:
                raise self.malformed(f"an added token needs content and id, not {form!r} and {token_id!r}")
            for flag in ("single_word", "lstrip", "rstrip"):
                if entry.get(flag):
                    raise self.refuse(
                        f"added token {form!r} with {flag}", "added tokens are matched as they are written"
                    )
            if added.get(form, token_id) != token_id or (form not in added and token_id in added.values()):
                raise self.malformed(f"added token {form!r} with id {token_id} contradicts another")
            added[form] = token_id
            if not entry.get("special"):
                plain.add(form)
        return added, frozenset(plain)

    def normalizer(self, raw: Any) -> bool:
        if raw is None:
            return False
        kind = raw.get("type") if isinstance(raw, dict) else None
        if kind == "NFC":
            return True
        if kind == "Sequence" and isinstance(raw.get("normalizers"), list):
            return any([self.normalizer(part) for part in raw["normalizers"]])
        raise self.refuse(f"normalizer {kind!r}", "only NFC is, since others lose text")

    def rule(self, raw: Any) -> tuple[str, ...]:
        if not isinstance(raw, dict):
            raise self.refuse("no pre_tokenizer", "a byte-level one is needed")
        parts = raw.get("pretokenizers") if raw.get("type") == "Sequence" else [raw]
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise self.malformed("'pre_tokenizer' is not a sequence of objects")
        rule: list[str] = []
        for position, part in enumerate(parts):
            kind = part.get("type")
            if kind == "ByteLevel" and position == len(parts) - 1:
                if part.get("add_prefix_space"):
                    raise self.refuse(
                        "pre_tokenizer ByteLevel with add_prefix_space", "text would not come back as it was"
                    )
                if part.get("use_regex", True):
                    rule.append(GPT2)
                return rule_of(tuple(rule))
            if kind == "Digits" and part.get("individual_digits"):
                rule.append(DIGITS)
            elif kind == "Split":
                rule.append(self.split(part))
            else:
                raise self.refuse(f"pre_tokenizer {kind!r}", "only Split, Digits and a last ByteLevel are")
        raise self.refuse("a pre_tokenizer without ByteLevel", "the vocabulary would not be over bytes")

    def split(self, part: Mapping[str, Any]) -> str:
        pattern = part.get("pattern")
        if not isinstance(pattern, dict) or not isinstance(next(iter(pattern.values()), None), str):
            raise self.malformed("a Split has no pattern")
        text: str = pattern["Regex"] if "Regex" in pattern else re.escape(str(pattern.get("String", "")))
        behavior, invert = part.get("behavior"), bool(part.get("invert"))
        covers = rule_of(text) in SCANNERS
        if not (behavior == "Isolated" and not invert) and not (behavior == "Removed" and invert and covers):
            raise self.refuse(
                f"Split with behavior {behavior!r}, invert {invert}", "only Isolated keeps all of the text"
            )
        compile_pattern(text)
        return text

    def decoder(self, raw: Any) -> None:
        if not isinstance(raw, dict) or raw.get("type") != "ByteLevel":
            raise self.refuse(f"decoder {raw.get('type') if isinstance(raw, dict) else raw!r}", "ByteLevel is needed")

    def vocab(self, raw: Any) -> dict[str, int]:
        if not isinstance(raw, dict) or not raw:
            raise self.malformed("the vocabulary is missing or is not an object")
        seen: set[int] = set()
        for form, token_id in raw.items():
            if type(token_id) is not int or not 0 <= token_id < 1 << 24 or token_id in seen:
                raise self.malformed(f"the vocabulary gives {form!r} the id {token_id!r}, which is not a fresh number")
            seen.add(token_id)
        return raw

    def merges(self, raw: Any, vocab: Mapping[str, int]) -> list[tuple[int, int]]:
        if not isinstance(raw, list):
            raise self.malformed("'merges' is missing or is not a list")
        pairs: dict[tuple[int, int], None] = {}
        for entry in raw:
            pair = entry.split(" ") if isinstance(entry, str) else entry
            if not isinstance(pair, list) or len(pair) != 2 or pair[0] not in vocab or pair[1] not in vocab:
                raise self.malformed(f"the merge {entry!r} is not two tokens of the vocabulary")
            ids = (vocab[pair[0]], vocab[pair[1]])
            pairs.pop(ids, None)
            pairs[ids] = None
        return list(pairs)

    def tokens(self, vocab: Mapping[str, int], added: Mapping[str, int]) -> list[bytes]:
        size = max([*vocab.values(), *added.values()]) + 1
        if size > 2 * (len(vocab) + len(added)) + 4096:
            raise self.malformed(f"ids go up to {size - 1:,} for {len(vocab):,} tokens")
        tokens = [b""] * size
        for form, token_id in vocab.items():
            if form in added:
                continue
            data = to_bytes(form)
            if not data:
                raise self.refuse(
                    f"the token {form!r}", "it is not written in the byte alphabet, so this is not byte-level BPE"
                )
            tokens[token_id] = data
        return tokens


def to_tokenizer_json(vocabulary: BPEVocabulary) -> dict[str, Any]:
    """The parsed form, as Hugging Face `tokenizers` 0.22 writes it."""
    tokens = vocabulary.tokens
    vocab = {to_chars(data): i for i, data in enumerate(tokens) if data}
    vocab.update({form: i for form, i in vocabulary.added.items() if i < len(tokens)})
    merges = vocabulary.merges
    if merges is None:
        from .merge_tables import split_pairs

        left, right, joined = (column.tolist() for column in split_pairs(tokens))
        merges = [(a, b) for _, a, b in sorted(zip(joined, left, right))]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    if vocabulary.rule == (GPT2,):
        pre_tokenizer: dict[str, Any] = {**byte_level, "use_regex": True}
    else:
        splits = [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
            for pattern in vocabulary.rule
        ]
        pre_tokenizer = {"type": "Sequence", "pretokenizers": [*splits, byte_level]}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": i,
                "content": form,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": form not in vocabulary.plain_added,
            }
            for form, i in sorted(vocabulary.added.items(), key=lambda item: item[1])
        ],
        "normalizer": {"type": "NFC"} if vocabulary.nfc else None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": vocabulary.extra.get("post_processor"),
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocabulary.whole_pieces or vocabulary.merges is None,
            "vocab": vocab,
            "merges": [[to_chars(tokens[a]), to_chars(tokens[b])] for a, b in merges],
        },
    }


_END_FORMS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<|im_end|>")
_START_FORMS = ("<|begin_of_text|>", "<s>", "<|endoftext|>")


def write_directory(vocabulary: BPEVocabulary, directory: Path) -> None:
    """tokenizer.json, tokenizer_config.json and special_tokens_map.json."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / "tokenizer.json", to_tokenizer_json(vocabulary))
    named = {}
    for key, forms in (("bos_token", _START_FORMS), ("eos_token", _END_FORMS), ("pad_token", ("<|pad|>", "<pad>"))):
        form = next((form for form in forms if form in vocabulary.added), None)
        if form:
            named[key] = form
    rest = [form for form in vocabulary.added if form not in named.values() and form not in vocabulary.plain_added]
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1_000_000_000_000,
            **named,
            **({"additional_special_tokens": rest} if rest else {}),
        },
    )
    write_json(
        directory / "special_tokens_map.json", {**named, **({"additional_special_tokens": rest} if rest else {})}
    )


# --- GPT-2


def read_gpt2(vocab_path: Path, merges_path: Path) -> BPEVocabulary:
    """vocab.json and merges.txt as GPT-2 has them: byte alphabet, GPT-2 pattern, `<|endoftext|>` the only special token."""
    reader = _Reader(str(vocab_path))
    vocab = reader.vocab(_read_json(vocab_path))
    added = {form: i for form, i in vocab.items() if form == "<|endoftext|>"}
    try:
        lines = _read_bytes(merges_path).decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{merges_path} is not UTF-8: {error}", hint="fetch the file again") from None
    merge_reader = _Reader(str(merges_path))
    merges = merge_reader.merges([line for line in lines if line and not line.startswith("#version")], vocab)
    tokens = reader.tokens(vocab, added)
    known = set(tokens)
    for a, b in merges:
        if tokens[a] + tokens[b] not in known:
            raise merge_reader.malformed(
                f"the merge of ids {a} and {b} gives a token that {vocab_path.name} does not have"
            )
    return BPEVocabulary(tokens=tokens, merges=merges, rule=(GPT2,), added=added)


# --- tiktoken


def read_tiktoken(
    path: Path, *, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None
) -> BPEVocabulary:
    """Ranks in tiktoken's form. The file does not say its pattern and special tokens: they are known for r50k_base,
    cl100k_base and o200k_base (by name and size), and must be given for any other.
    """
    ranks: dict[int, bytes] = {}
    for number, line in enumerate(_read_bytes(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            form, rank = line.split()
            data, token_id = base64.b64decode(form, validate=True), int(rank)
        except (ValueError, binascii.Error):
            raise TokenizerError(
                f"{path}, line {number}: not a base64 token and a rank",
                hint="the file was cut or edited; fetch it again",
            ) from None
        if not data or token_id in ranks or not 0 <= token_id < 1 << 24:
            raise TokenizerError(f"{path}, line {number}: rank {token_id} is repeated, or its token is empty")
        ranks[token_id] = data
    stem = path.name.split(".")[0]
    known = _TIKTOKEN_KNOWN.get(stem)
    if known and known[1] == len(ranks):
        pattern = pattern or known[0]
        special_tokens = known[2] if special_tokens is None else special_tokens
    if pattern is None:
        raise TokenizerError(
            f"{path} has {len(ranks):,} ranks, and no pattern is known for it",
            hint="read_tiktoken(path, pattern=..., special_tokens=...), or name it r50k_base, cl100k_base or o200k_base",
        )
    if not ranks or max(ranks) > 2 * len(ranks) + 4096 or len(set(ranks.values())) != len(ranks):
        raise TokenizerError(f"{path}: {len(ranks):,} ranks are not one token each", hint="fetch the file again")
    tokens = [ranks.get(i, b"") for i in range(max(ranks) + 1)]
    return BPEVocabulary(
        tokens=tokens, merges=None, rule=rule_of(pattern), added=dict(special_tokens or {}), whole_pieces=True
    )


def write_tiktoken(vocabulary: BPEVocabulary, path: Path) -> None:
    """Ranks in tiktoken's form: every token that is not special, by id."""
    lines = [base64.b64encode(data) + b" %d\n" % i for i, data in enumerate(vocabulary.tokens) if data]
    write_bytes(path, gzip.compress(b"".join(lines), mtime=0) if path.name.endswith(".gz") else b"".join(lines))
