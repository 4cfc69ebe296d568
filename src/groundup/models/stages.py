"""The stages of a recipe that make a model directory: a fresh decoder, or one that somebody else trained."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.artifact import SEAL, copy_into, hash_file, hash_json, identity, read_json, read_seal, verify
from ..core.recipe import StageContext
from .decoder import Decoder, DecoderConfig, with_absolute_parts
from .directory import (
    GENERATION,
    TOKENIZER_FILES,
    copy_tokenizer_files,
    load_network,
    read_model_facts,
    resolve_model_directory,
    save_model,
)
from .facts import CONFIG
from .rnn import FeedForwardConfig, FeedForwardLM, RecurrentConfig, RecurrentLM
from .weights import INDEX, inspect_weights

if TYPE_CHECKING:
    from ..core.protocols import Tokenizer

_VOCAB_MULTIPLE = 64
"""Rows of the head are rounded up to this: matrix kernels waste the rest of a tile anyway."""
_PAPERS = ("README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE")


@dataclass(frozen=True, kw_only=True)
class _Fresh:
    """What the stages that make a fresh model have in common."""

    tokenizer: str = "tokenizer"
    """Name of the stage whose tokenizer the model is for."""

    @property
    def kind(self) -> str:
        return "model"

    def inputs(self) -> Sequence[str]:
        return (self.tokenizer,)

    def fingerprint(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class DecoderStage(_Fresh, DecoderConfig):
    """A decoder with fresh weights, drawn from the run's seed."""

    def config(self, vocab_size: int, root: Path) -> DecoderConfig:
        """The decoder alone, for a tokenizer of `vocab_size` ids; relative user parts are looked up from `root`."""
        plain = DecoderConfig(**{f.name: getattr(self, f.name) for f in fields(DecoderConfig)})
        if plain.vocab_size == 0:
            plain = replace(plain, vocab_size=rounded_vocabulary(vocab_size))
        return with_absolute_parts(plain, root)

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from ..tokenizers import load_tokenizer

        source = context.inputs[self.tokenizer]
        tokenizer = load_tokenizer(source)
        model = Decoder(self.config(tokenizer.vocab_size, context.recipe_directory)).initialise(context.seed)
        copy_tokenizer_files(source, context.directory)
        save_model(model, context.directory, generation=special_token_ids(source, tokenizer))
        return fresh_figures(context.directory)


@dataclass(frozen=True, kw_only=True)
class RecurrentStage(_Fresh, RecurrentConfig):
    """A recurrent language model with fresh weights, drawn from the run's seed."""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        return _fresh_word_network(self, RecurrentConfig, RecurrentLM, context)


@dataclass(frozen=True, kw_only=True)
class FeedForwardStage(_Fresh, FeedForwardConfig):
    """A feed-forward language model with fresh weights, drawn from the run's seed."""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        return _fresh_word_network(self, FeedForwardConfig, FeedForwardLM, context)


def _fresh_word_network(stage: Any, config: type[Any], network: type[Any], context: StageContext) -> dict[str, Any]:
    """The vocabulary is the tokenizer's to the word: a closed vocabulary's perplexity is over that and nothing else."""
    from ..tokenizers import load_tokenizer
    from ..tokenizers.word import WordTokenizer

    source = context.inputs[stage.tokenizer]
    tokenizer = load_tokenizer(source)
    values = {f.name: getattr(stage, f.name) for f in fields(config)}
    values["vocab_size"] = values["vocab_size"] or tokenizer.vocab_size
    ids = special_token_ids(source, tokenizer)
    if isinstance(tokenizer, WordTokenizer):
        # A text's first word follows the end of a line, as nearly all lines' first words do.
        ids = {"bos_token_id": tokenizer.end_of_line_id, **ids}
    copy_tokenizer_files(source, context.directory)
    save_model(network(config(**values)).initialise(context.seed), context.directory, generation=ids)
    return fresh_figures(context.directory)


@dataclass(frozen=True, kw_only=True)
class PretrainedStage:
    """A model directory from elsewhere, or a model of another run, as the start of this one."""

    type: Literal["pretrained"] = "pretrained"
    path: str
    """A model directory, or a run directory (its last model)."""

    @property
    def kind(self) -> str:
        return "model"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        """What its files hold: from the seal where there is one, else by hashing them."""
        directory = resolve_model_directory(Path(self.path))
        if (directory / SEAL).is_file():
            return identity(read_seal(directory))
        return hash_json({name: hash_file(directory / name) for name in _files(directory)})

    def run(self, context: StageContext) -> Mapping[str, Any]:
        source = resolve_model_directory(Path(self.path))
        if (source / SEAL).is_file():
            verify(source, kind="model")
        for name in _files(source):
            _link_or_copy((source / name).resolve(), context.directory / name)
        load_network(context.directory, trusted_parts=tuple(context.swaps.values()))
        return fresh_figures(context.directory)


def _files(directory: Path) -> list[str]:
    """The files that belong to a model, and nothing that happens to lie beside them."""
    weights = {stored.file.name for stored in inspect_weights(directory).values()}
    wanted = {CONFIG, GENERATION, INDEX, *TOKENIZER_FILES, *_PAPERS} | weights
    return sorted(name for name in wanted if (directory / name).is_file())


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        copy_into(source, target)


def rounded_vocabulary(vocab_size: int) -> int:
    return -(-vocab_size // _VOCAB_MULTIPLE) * _VOCAB_MULTIPLE


def fresh_figures(directory: Path) -> dict[str, Any]:
    facts = read_model_facts(directory)
    return {
        "parameters": facts.parameters,
        "context_tokens": facts.context_tokens,
        "vocab_size": facts.vocab_size,
        "family": facts.family,
    }


def special_token_ids(directory: Path, tokenizer: Tokenizer) -> dict[str, int]:
    """bos_, eos_ and pad_token_id, from the written forms in tokenizer_config.json."""
    path = directory / "tokenizer_config.json"
    settings = read_json(path) if path.is_file() else {}
    found: dict[str, int] = {}
    for role in ("bos", "eos", "pad"):
        written = settings.get(f"{role}_token")
        form = written.get("content") if isinstance(written, Mapping) else written
        if isinstance(form, str) and form in tokenizer.special_ids:
            found[f"{role}_token_id"] = tokenizer.special_ids[form]
    return found
