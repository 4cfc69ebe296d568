"""The model directory: Hugging Face's own files in and out, so that transformers, vLLM and the rest open what is saved here
with no remote code, and groundup opens what they save.

Reading never runs anything that lies in the directory: no pickle, no .py file, no auto_map; a learner's part named in a
config is imported only if the caller trusts exactly that part. Every header is checked before memory is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import __version__
from ..core.artifact import SEAL, Seal, copy_into, read_json, seal, write_json, write_text
from ..core.artifact import verify as verify_seal
from ..core.config import find_uses
from ..core.errors import ArtifactError, ModelError
from ..nn.position import Rope
from .card import model_card
from .decoder import Decoder, DecoderConfig, swapped_parts
from .facts import CONFIG, ModelFacts, read_model_config, read_model_facts, resolve_model_directory
from .families import Entry, family_named, read_config, write_config
from .families.family import OWN
from .families.heads import head_kind
from .network import Network, network_class
from .weights import StoredTensor, inspect_weights, read_tensors, write_tensors

__all__ = [
    "ModelFacts",
    "copy_tokenizer_files",
    "load_model",
    "load_network",
    "read_generation_config",
    "read_model_config",
    "read_model_facts",
    "resolve_model_directory",
    "save_model",
    "seal_model",
    "write_chat_template",
]

GENERATION = "generation_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "char_tokenizer.json",
    "word_tokenizer.json",
    CHAT_TEMPLATE,
)
_WHOLE_TOKENIZERS = {
    "tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "char_tokenizer.json", "word_tokenizer.json"
}  # fmt: skip
_ID_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
_STORED = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
           torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
           torch.bool: "BOOL"}  # fmt: skip
_DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def save_model(
    model: Decoder | Network,
    directory: Path,
    *,
    tokenizer: Any = None,
    chat_template: str | None = None,
    generation: Mapping[str, Any] | None = None,
    card: str | None = None,
    swaps: Mapping[str, str] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a complete model directory; it is not sealed (see `seal_model`).

    tokenizer: anything with `save(directory)`. chat_template: written beside it and into tokenizer_config.json.
    generation: keys of generation_config.json (bos_token_id, eos_token_id, pad_token_id, temperature, ...).
    card: text of README.md below its front matter; None writes the facts. swaps: place in the recipe -> `file.py:Name` of the
    user's own parts that the model was made with, for the card. dtype: stored dtype; None keeps the model's.
    Raises ModelError if the tokenizer has more ids than the model.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = model.config
    if tokenizer is not None and tokenizer.vocab_size > config.vocab_size:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids, the model only {config.vocab_size:,}",
            hint="make the model with vocab_size=0 to take the tokenizer's own",
        )
    stored_dtype = dtype or model.embed_tokens.weight.dtype
    raw, family = write_config(model.config) if isinstance(model, Decoder) else (model.raw_config(), None)
    parameters = {name: tensor.detach() for name, tensor in _state_of(model).items()}
    if config.tie_word_embeddings:
        parameters.pop("lm_head.weight", None)
    entries = own_entries(parameters) if family is None else family.entries(model.config)  # type: ignore[arg-type]
    left = set(parameters) - {name for entry in entries for name in entry.ours}
    if left:
        raise ModelError(
            f"the model has {len(left)} tensors that its config does not name, such as {min(left)!r}",
            hint="merge adapters into the weights before saving",
        )
    write_files(directory, raw, entries, parameters, stored_dtype, tokenizer=tokenizer, chat_template=chat_template,
                generation=generation, max_shard_bytes=max_shard_bytes)  # fmt: skip
    write_text(
        directory / "README.md", model_card(directory, raw["model_type"], model, stored_dtype, card, swaps or {})
    )


def write_files(
    directory: Path,
    raw: Mapping[str, Any],
    entries: list[Entry],
    parameters: Mapping[str, Tensor],
    stored_dtype: torch.dtype,
    *,
    tokenizer: Any,
    chat_template: str | None,
    generation: Mapping[str, Any] | None,
    max_shard_bytes: int,
) -> None:
    """Weights, config.json, generation_config.json and the tokenizer's files: all of a model directory but its card."""
    kinds = {name: stored_dtype if tensor.is_floating_point() else tensor.dtype for name, tensor in parameters.items()}
    sizes = {e.file: (_STORED[kinds[e.ours[0]]], _file_shape(e, parameters)) for e in entries}
    makers = {e.file: (lambda e=e: _to_file(e, parameters, kinds[e.ours[0]])) for e in entries}
    write_tensors(directory, makers, sizes, max_shard_bytes=max_shard_bytes)

    generation = dict(generation or {})
    ids = {key: generation.get(key) for key in _ID_KEYS}
    write_json(
        directory / CONFIG,
        {**ids, **raw, "dtype": str(stored_dtype).removeprefix("torch."), "use_cache": True},
    )
    # transformers 5 reads a null sampling value as "not set"; keys that are None are left out.
    write_json(
        directory / GENERATION,
        {"_from_model_config": not generation, **{k: v for k, v in generation.items() if v is not None}},
    )
    if tokenizer is not None:
        tokenizer.save(directory)
    if chat_template is not None:
        write_chat_template(directory, chat_template)


def seal_model(
    directory: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    parents: Mapping[str, str] | None = None,
    key: str = "",
) -> Seal:
    """Write groundup.json, the commit mark, over all files of a saved model."""
    config = read_model_config(Path(directory))
    swaps = sorted(set(find_uses(config.get("decoder", {})).values()))
    return seal(
        directory,
        kind="model",
        facts={"groundup": __version__, "swaps": swaps, **(facts or {})},
        parents=parents,
        key=key,
    )


def load_model(
    directory: Path,
    *,
    dtype: torch.dtype | None = None,
    trusted_parts: Collection[str] = (),
    verify: bool = True,
) -> Decoder:
    """Read a model directory of any known family, or of our own form, in evaluation mode on the CPU.

    dtype: of the weights in memory; None takes the directory's. trusted_parts: `file.py:Name` of the user parts that may
    be imported. verify=False skips the sha256 of sealed files (their sizes are always checked).
    Raises ArtifactError for damaged or missing files, ModelError for a config or tensors that do not fit, naming both.
    """
    directory = Path(directory)
    raw, stored, config, dtype = open_directory(directory, dtype=dtype, trusted_parts=trusted_parts, verify=verify)
    if head_kind(raw) is not None:
        raise ModelError(
            f"{directory} holds a {raw['architectures'][0]}, which has labels as its output, not next tokens",
            hint="groundup.models.heads.load_headed reads it",
        )
    model = empty_decoder(config)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        expected.pop("lm_head.weight", None)
    if raw["model_type"] == OWN:
        entries = own_entries(expected)
    else:
        family = family_named(raw["model_type"])
        entries = _without_prefix(family.entries(config), family.prefix, stored)
    check_tensors(directory, entries, expected, stored, tied=config.tie_word_embeddings)
    fill(model, entries, expected, stored, dtype)
    if config.tie_word_embeddings:
        model.lm_head.weight = model.embed_tokens.weight
    return model.eval()


def load_network(
    directory: Path, *, trusted_parts: Collection[str] = (), dtype: torch.dtype | None = None, verify: bool = True
) -> Decoder | Network:
    """`load_model`, or the network of another kind that a directory holds (groundup.models.network)."""
    raw = read_model_config(Path(directory))
    cls = network_class(raw.get("model_type"))
    if cls is None:
        return load_model(directory, trusted_parts=trusted_parts, dtype=dtype, verify=verify)
    directory = Path(directory)
    if (directory / SEAL).is_file():
        verify_seal(directory, kind="model", contents=verify)
    stored = inspect_weights(directory)
    with torch.device("meta"):
        model = cls.from_raw(raw)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    tied = model.config.tie_word_embeddings
    if tied:
        expected.pop("lm_head.weight", None)
    entries = own_entries(expected)
    check_tensors(directory, entries, expected, stored, tied=tied)
    fill(model, entries, expected, stored, dtype or _directory_dtype(raw, stored))
    if tied:
        model.lm_head.weight = model.embed_tokens.weight
    found: Network = model.eval()
    return found


def _state_of(model: Decoder | Network) -> Mapping[str, Tensor]:
    assert isinstance(model, nn.Module)
    return model.state_dict()


def open_directory(
    directory: Path, *, dtype: torch.dtype | None, trusted_parts: Collection[str], verify: bool
) -> tuple[dict[str, Any], dict[str, StoredTensor], DecoderConfig, torch.dtype]:
    """config.json, the headers of the weights, the decoder they are for, and the dtype to load it in; all checked."""
    raw = read_model_config(directory)
    if (directory / SEAL).is_file():
        verify_seal(directory, kind="model", contents=verify)
    stored = inspect_weights(directory)
    config = read_config(raw)
    _check_trust(config, trusted_parts, directory)
    return raw, stored, config, dtype or _directory_dtype(raw, stored)


def empty_decoder(config: DecoderConfig) -> Decoder:
    """A decoder to be filled, without memory for its weights where that is possible."""
    if swapped_parts(config):
        # A user's part is tried as it is made, which takes real tensors.
        return Decoder(config)
    with torch.device("meta"):
        return Decoder(config)


def _check_trust(config: DecoderConfig, trusted: Collection[str], directory: Path) -> None:
    allowed = {_absolute(part) for part in trusted}
    for part in swapped_parts(config):
        if _absolute(part) not in allowed:
            raise ModelError(
                f"{directory} was made with the part {part}, which runs code from that file; "
                "a model directory alone is never reason enough to run it",
                hint=f"if it is yours: --swap model.block.mixer={part} (at the place where the part belongs)",
            )


def _absolute(part: str) -> str:
    file, _, name = part.rpartition(":")
    return f"{Path(file).expanduser().resolve()}:{name}"


def _directory_dtype(raw: Mapping[str, Any], stored: Mapping[str, StoredTensor]) -> torch.dtype:
    named = str(raw.get("dtype") or raw.get("torch_dtype") or "").removeprefix("torch.")
    if named in _DTYPES:
        return _DTYPES[named]
    widest = max((t.dtype for t in stored.values()), key=lambda d: {"BF16": 1, "F16": 1, "F32": 2}.get(d, 0))
    return {"BF16": torch.bfloat16, "F16": torch.float16}.get(widest, torch.float32)


def own_entries(names: Collection[str]) -> list[Entry]:
    return [Entry(name, (name,)) for name in names]


def _without_prefix(entries: list[Entry], prefix: str, stored: Mapping[str, StoredTensor]) -> list[Entry]:
    """Files saved from the headless network (GPT-2's own among them) leave out the prefix."""
    if any(name.startswith(prefix) for name in stored):
        return entries
    return [Entry(e.file.removeprefix(prefix), e.ours, e.transposed) for e in entries]


def check_tensors(
    directory: Path,
    entries: list[Entry],
    expected: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, StoredTensor],
    *,
    tied: bool,
) -> None:
    missing = [e.file for e in entries if e.file not in stored]
    if missing:
        raise ModelError(
            f"{directory} lacks {len(missing)} of {len(entries)} tensors that its config.json asks for: {_some(missing)}",
            hint="config.json and the weights do not belong together, or a file is missing",
        )
    known = {e.file for e in entries}
    # Buffers that older files carry (masks, rotary frequencies), and the head's copy where it is tied, hold nothing new.
    extra = [
        name
        for name in stored
        if name not in known
        and not name.endswith((".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq"))
        and not (tied and name == "lm_head.weight")
    ]
    if extra:
        raise ModelError(
            f"{stored[extra[0]].file} holds {len(extra)} tensors that config.json has no place for: {_some(extra)}",
            hint="config.json and the weights do not belong together",
        )
    for e in entries:
        want = _file_shape(e, expected)
        if stored[e.file].shape != want:
            raise ModelError(
                f"tensor {e.file!r} in {stored[e.file].file} has shape {list(stored[e.file].shape)}, "
                f"config.json asks for {list(want)}",
                hint="config.json and the weights do not belong together",
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _file_shape(entry: Entry, ours: Mapping[str, Any]) -> tuple[int, ...]:
    shapes = [tuple(getattr(ours[name], "shape", ours[name])) for name in entry.ours]
    if len(shapes) == 1 and not entry.transposed:
        return shapes[0]
    joined = (sum(s[0] for s in shapes), *shapes[0][1:])
    return joined[::-1] if entry.transposed else joined


def _to_file(entry: Entry, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor:
    parts = [parameters[name] for name in entry.ours]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=0)
    return (joined.t() if entry.transposed else joined).to(dtype)


@torch.no_grad()
def fill(
    model: nn.Module,
    entries: list[Entry],
    expected: Mapping[str, tuple[int, ...]],
    stored: Mapping[str, StoredTensor],
    dtype: torch.dtype,
) -> None:
    """Read the weights into `model`, whose position tables are made afresh at their first use."""
    by_file = {e.file: e for e in entries}
    for file, tensor in read_tensors({e.file: stored[e.file] for e in entries}):
        entry = by_file[file]
        tensor = tensor.t() if entry.transposed else tensor
        rows = [expected[name][0] for name in entry.ours] if len(entry.ours) > 1 else None
        for name, piece in zip(entry.ours, (tensor,) if rows is None else torch.split(tensor, rows), strict=True):
            # Copied: the tensor that was read may be a view of the file.
            kind = dtype if piece.is_floating_point() else piece.dtype
            _put(model, name, torch.empty(piece.shape, dtype=kind).copy_(piece))
    for module in model.modules():
        if isinstance(module, Rope):
            module.reset()
        if isinstance(module, Decoder):
            module.prepared_positions = 0


def _put(model: nn.Module, name: str, tensor: Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf in module._parameters:
        old = module._parameters[leaf]
        assert old is not None
        module._parameters[leaf] = nn.Parameter(tensor, requires_grad=old.requires_grad)
    else:
        module._buffers[leaf] = tensor


def read_generation_config(directory: Path) -> dict[str, Any]:
    """generation_config.json, with the token ids of config.json where it has none; the ids are ints or lists of ints."""
    directory = Path(directory)
    raw = read_model_config(directory)
    made = read_json(directory / GENERATION) if (directory / GENERATION).is_file() else {}
    if not isinstance(made, dict):
        raise ArtifactError(f"{directory / GENERATION} does not hold a mapping")
    for key in ("_from_model_config", "transformers_version"):
        made.pop(key, None)
    for key in _ID_KEYS:
        if made.get(key) is None and raw.get(key) is not None:
            made[key] = raw[key]
    return made


def write_chat_template(directory: Path, template: str) -> None:
    """chat_template.jinja, and the same text in tokenizer_config.json for readers that look there."""
    directory = Path(directory)
    write_text(directory / CHAT_TEMPLATE, template)
    path = directory / "tokenizer_config.json"
    settings = read_json(path) if path.is_file() else {}
    write_json(path, {**settings, "chat_template": template})


def copy_tokenizer_files(source: Path, target: Path) -> list[str]:
    """Copy the tokenizer (and its chat template) of one directory into another; the names copied.

    ArtifactError if `source` has no tokenizer.
    """
    copied = [name for name in TOKENIZER_FILES if (Path(source) / name).is_file()]
    if not _WHOLE_TOKENIZERS & set(copied):
        raise ArtifactError(f"{source} has no tokenizer files ({', '.join(TOKENIZER_FILES[:2])}, ...)")
    for name in copied:
        copy_into(Path(source) / name, Path(target) / name)
    return copied
