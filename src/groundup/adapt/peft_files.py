"""PEFT's own files: `adapter_config.json` and `adapter_model.safetensors`, with its names, in and out.

An adapter that we save opens in PEFT on the transformers model of the same family, and the other way round. Where the family keeps
several of our projections in one matrix (GPT-2), their adapters are joined exactly: sharing an A where they do, side by
side as one of higher rank where they do not. Bottlenecks, which PEFT lacks, use the same two files under a type of their own.

Reading runs no code, reads no pickle, and checks every name, shape and number before the model is touched. `groundup.json`
is written last, as the commit mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .. import __version__
from ..core.artifact import SEAL, Seal, read_json, seal, verify, write_bytes, write_json
from ..core.config import to_plain
from ..core.errors import ArtifactError, ConfigError, ModelError
from ..models.decoder import Decoder
from ..models.weights import read_header, read_tensors
from .attach import adapter_names, adapters_of, check_name, install, train_only
from .configs import AdapterConfig, BottleneckConfig, IA3Config, LoRAConfig, PrefixConfig, PromptConfig
from .linear import AdaptedLinear
from .low_rank import LoRA
from .targets import Projection, matches, projections
from .vectors import IA3, Bottleneck
from .virtual import Prefix, Prompt, key_value_shape

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_KEY = "base_model.model."
_UNSUPPORTED = (
    "modules_to_save", "layer_replication", "lora_bias", "use_qalora", "megatron_config", "alora_invocation_tokens",
    "target_parameters", "trainable_token_indices", "arrow_config", "use_bdlora", "kasa_config", "monteclora_config",
    "velora_config",
)  # fmt: skip
"""Options of PEFT that change what an adapter computes and that groundup does not have."""
_PATTERN = re.compile(r"[\w.]+")
_BOTTLENECK = ("down.weight", "down.bias", "up.weight", "up.bias")


# ------------------------------------------------------------------------------------------------------------- saving


def save_adapter(model: Decoder, directory: Path, *, name: str = "default", base: str = "") -> Seal:
    """Write one adapter. base: the directory or name of the model it was trained on, kept as `base_model_name_or_path`.

    Raises ModelError if there is no such adapter, or the family's files cannot express it.
    """
    directory = Path(directory)
    shared = adapters_of(model)
    check_name(shared, name)
    config = shared.configs[name]
    tensors, raw = _written(model, config, name)
    common = {
        "base_model_name_or_path": base or None,
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "revision": None,
        "auto_mapping": None,
        "modules_to_save": None,
    }
    from safetensors.torch import save

    directory.mkdir(parents=True, exist_ok=True)
    (directory / SEAL).unlink(missing_ok=True)
    stored = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    write_bytes(directory / WEIGHTS, save(stored, metadata={"format": "pt"}))
    write_json(directory / CONFIG, {**common, **raw})
    facts = {"groundup": __version__, "config": to_plain(config), "base": base}
    return seal(directory, kind="adapter", facts=facts, skip=lambda file: file not in (CONFIG, WEIGHTS))


def _written(model: Decoder, config: AdapterConfig, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    match config:
        case LoRAConfig():
            return _write_lora(model, config, name)
        case IA3Config():
            return _write_ia3(model, name)
        case BottleneckConfig():
            return _write_bottleneck(model, config, name)
        case PrefixConfig() | PromptConfig():
            return _write_virtual(model, config, name)
    raise AssertionError(config)


def _by_file(model: Decoder, name: str) -> dict[str, list[tuple[Projection, AdaptedLinear | None]]]:
    """Module of the files -> its projections in order, with their layers where they have the adapter."""
    every = projections(model)
    found: dict[str, list[tuple[Projection, AdaptedLinear | None]]] = {}
    for projection in every.values():
        if projection.file in found:
            continue
        parts: list[tuple[Projection, AdaptedLinear | None]] = []
        for sibling in projection.siblings:
            layer = model.get_submodule(sibling)
            has = isinstance(layer, AdaptedLinear) and name in layer.adapters
            parts.append((every[sibling], layer if has else None))  # type: ignore[arg-type]
        if any(layer is not None for _, layer in parts):
            found[projection.file] = parts
    return found


def _short_names(model: Decoder, files: Mapping[str, Any]) -> list[str]:
    """The shortest ends of names that mean exactly `files` among the model's projections."""
    every = {p.file for p in projections(model).values()}
    short: set[str] = set()
    for file in files:
        pieces = file.split(".")
        for count in (1, 2, len(pieces)):
            end = ".".join(pieces[-count:])
            if all(other in files for other in every if matches(end, other)):
                short.add(end)
                break
    return sorted(short)


def _out_features(model: Decoder, projection: Projection) -> int:
    return int(model.get_submodule(projection.name).out_features)  # type: ignore[arg-type]


def _write_lora(model: Decoder, config: LoRAConfig, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    files = _by_file(model, name)
    for file, parts in files.items():
        a, b, scaling, alpha = _joined(model, parts, name)
        ranks[file] = a.shape[0]
        # Where ranks were joined, the alpha that gives the same scaling at the new rank.
        scale = a.shape[0] ** 0.5 if config.use_rslora else a.shape[0]
        alphas[file] = alpha if alpha is not None else scaling * scale
        tensors[f"{_KEY}{file}.lora_A.weight"] = a
        tensors[f"{_KEY}{file}.lora_B.weight"] = b
        if config.use_dora:
            tensors[f"{_KEY}{file}.lora_magnitude_vector"] = torch.cat([_lengths(model, p, x, name) for p, x in parts])
    raw = {
        "peft_type": "LORA",
        "r": config.r,
        "lora_alpha": _whole(config.lora_alpha),
        "lora_dropout": config.lora_dropout,
        "target_modules": _short_names(model, files),
        "fan_in_fan_out": any(p.transposed for parts in files.values() for p, _ in parts),
        "bias": "none",
        "use_rslora": config.use_rslora,
        "use_dora": config.use_dora,
        "init_lora_weights": True if config.init_lora_weights == "kaiming" else config.init_lora_weights,
        "rank_pattern": {file: r for file, r in ranks.items() if r != config.r},
        "alpha_pattern": {file: _whole(a) for file, a in alphas.items() if a != config.lora_alpha},
    }
    return tensors, raw


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _joined(
    model: Decoder, parts: list[tuple[Projection, AdaptedLinear | None]], name: str
) -> tuple[Tensor, Tensor, float, float | None]:
    """A [R, in], B [all out, R], the scaling, and lora_alpha (None where ranks were joined) of one matrix of the files."""
    loras: list[LoRA | None] = [None if layer is None else layer.adapters[name] for _, layer in parts]
    present = [lora for lora in loras if lora is not None]
    first = present[0]
    if len(present) == len(parts) and all(lora.lora_A is first.lora_A for lora in present):
        return first.lora_A, torch.cat([lora.lora_B for lora in present]), first.scaling, first.alpha
    total = sum(lora.r for lora in present)
    rows, start = [], 0
    for (projection, _), lora in zip(parts, loras):
        block = first.lora_B.new_zeros(_out_features(model, projection), total)
        if lora is not None:
            # One scaling for the whole matrix: what differs from it goes into B.
            block[:, start : start + lora.r] = lora.lora_B.detach() * (lora.scaling / first.scaling)
            start += lora.r
        rows.append(block)
    return torch.cat([lora.lora_A for lora in present]), torch.cat(rows), first.scaling, None


def _lengths(model: Decoder, projection: Projection, layer: AdaptedLinear | None, name: str) -> Tensor:
    """DoRA's lengths of one projection; those of the frozen weight where it has no adapter."""
    if layer is not None:
        lengths: Tensor = layer.adapters[name].lora_magnitude_vector
        return lengths
    module = model.get_submodule(projection.name)
    weight = module.base_weight(torch.float32) if isinstance(module, AdaptedLinear) else module.weight
    assert isinstance(weight, Tensor)
    made: Tensor = torch.linalg.vector_norm(weight.detach().float(), dim=1)
    return made


def _write_ia3(model: Decoder, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    inputs: dict[str, Any] = {}
    files = _by_file(model, name)
    for file, parts in files.items():
        present: list[IA3] = [layer.adapters[name] for _, layer in parts if layer is not None]
        if present[0].scales_input:
            if len(present) != len(parts) or not all(torch.equal(p.ia3_l, present[0].ia3_l) for p in present):
                raise ModelError(f"{file} holds several projections, whose inputs this adapter scales differently",
                                 hint="the family's files have one vector for them; scale outputs instead")  # fmt: skip
            tensors[f"{_KEY}{file}.ia3_l"] = present[0].ia3_l[None]
            inputs[file] = None
            continue
        like = present[0].ia3_l
        tensors[f"{_KEY}{file}.ia3_l"] = torch.cat([
            layer.adapters[name].ia3_l if layer is not None else like.new_ones(_out_features(model, projection))
            for projection, layer in parts
        ])[:, None]  # fmt: skip
    raw = {
        "peft_type": "IA3",
        "target_modules": _short_names(model, files),
        "feedforward_modules": _short_names(model, inputs),
        "fan_in_fan_out": any(p.transposed for parts in files.values() for p, _ in parts),
        "init_ia3_weights": True,
    }
    return tensors, raw


def _write_bottleneck(model: Decoder, config: BottleneckConfig, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    for file, parts in _by_file(model, name).items():
        for _, layer in parts:
            if layer is not None:
                state = layer.adapters[name].state_dict()
                tensors |= {f"{_KEY}{file}.bottleneck_{key}": state[key] for key in _BOTTLENECK}
    plain = to_plain(config)
    del plain["type"]
    return tensors, {"peft_type": "BOTTLENECK", **plain}


def _write_virtual(
    model: Decoder, config: PrefixConfig | PromptConfig, name: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    module = adapters_of(model).virtual[name]
    heads, size = key_value_shape(model)
    raw: dict[str, Any] = {
        "num_virtual_tokens": config.num_virtual_tokens,
        "num_transformer_submodules": 1,
        "num_layers": model.config.num_hidden_layers,
    }
    if isinstance(config, PrefixConfig):
        # A projection is stored as what it makes, as PEFT does.
        own = {"peft_type": "PREFIX_TUNING", "prefix_projection": False, "encoder_hidden_size": model.config.hidden_size,
               "token_dim": heads * size, "num_attention_heads": heads}  # fmt: skip
        with torch.no_grad():
            return {"prompt_embeddings": module.flat()}, {**raw, **own}
    own = {"peft_type": "PROMPT_TUNING", "prompt_tuning_init": "RANDOM", "token_dim": model.config.hidden_size,
           "num_attention_heads": model.config.block_of(0).mixer.num_attention_heads}  # fmt: skip
    return {"prompt_embeddings": module.prompt_embeddings}, {**raw, **own}


# ------------------------------------------------------------------------------------------------------------ loading


def load_adapter(
    model: Decoder,
    directory: Path,
    *,
    name: str = "default",
    trainable: bool = False,
    quantize: Literal["none", "nf4"] = "none",
) -> Decoder:
    """Read an adapter in PEFT's form onto `model` (in place); returns the model.

    The first adapter of a model is selected for every row, further ones wait for `select`. trainable: train it, and only it,
    from here on. quantize: keep the frozen weights that a LoRA stands beside in 4 bits.
    Raises ArtifactError for missing or damaged files, ModelError for an adapter that does not fit this model, naming the tensor.
    """
    directory = Path(directory)
    raw = _read_config(directory)
    if (directory / SEAL).is_file():
        verify(directory, kind="adapter")
    stored = _read_weights(directory)
    config, fill = _READERS[raw["peft_type"]](model, raw, stored, directory / WEIGHTS, quantize)
    first = not adapter_names(model)
    trained = [p for n, p in model.named_parameters() if p.requires_grad and (not first)]
    shared = install(config, model, name, torch.Generator().manual_seed(0))
    with torch.no_grad():
        fill(name)
    if trainable:
        train_only(model, name)
    else:
        model.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
    if first or trainable:
        shared.selection.chosen = name
    return model


Fill = Callable[[str], None]


def _read_config(directory: Path) -> dict[str, Any]:
    if not directory.is_dir():
        raise ArtifactError(f"{directory} is not a directory")
    raw: dict[str, Any] = read_json(directory / CONFIG)
    kind = raw.get("peft_type") if isinstance(raw, dict) else None
    if not isinstance(kind, str) or kind not in _READERS:
        raise ModelError(f"{directory / CONFIG} has peft_type {kind!r}; supported: {', '.join(_READERS)}")
    for key in _UNSUPPORTED:
        if raw.get(key):
            raise ModelError(f"{directory / CONFIG} has {key} = {str(raw[key])[:80]}, which groundup does not have",
                             hint="merge the adapter with PEFT and load the merged model")  # fmt: skip
    if raw.get("bias", "none") != "none":
        raise ModelError(f"{directory / CONFIG} has bias = {raw['bias']!r}; only 'none' is supported",
                         hint="merge the adapter with PEFT and load the merged model")  # fmt: skip
    return raw


def _read_weights(directory: Path) -> dict[str, Tensor]:
    path = directory / WEIGHTS
    if not path.is_file():
        pickles = sorted(p.name for p in directory.glob("*.bin"))
        if pickles:
            raise ModelError(
                f"{directory} has its weights in {pickles[0]}, a pickle: opening one can run any code, so groundup never does",
                hint="save the adapter again with safe_serialization=True where you trust it",
            )
        raise ArtifactError(f"{path} does not exist", hint="copy it again from where it came")
    header = read_header(path)
    for key, place in header.items():
        if place.dtype not in ("F64", "F32", "F16", "BF16"):
            raise ModelError(f"tensor {key!r} in {path} is {place.dtype}; adapters are floating-point numbers")
    tensors = {key: tensor.clone() for key, tensor in read_tensors(header)}
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ArtifactError(f"tensor {key!r} in {path} holds numbers that are not finite",
                                hint="the file is damaged, or training diverged")  # fmt: skip
    return tensors


@dataclass(frozen=True, slots=True)
class _Module:
    """The tensors of one module of the files, and our projections in it."""

    file: str
    parts: tuple[Projection, ...]
    tensors: Mapping[str, Tensor]
    in_features: int
    outs: tuple[int, ...]


def _modules(model: Decoder, stored: Mapping[str, Tensor], path: Path, kinds: tuple[str, ...]) -> dict[str, _Module]:
    """The tensors by module; ModelError for one that is no kind of tensor, or no module of this model."""
    every = projections(model)
    by_file = {p.file: p for p in every.values()}
    grouped: dict[str, dict[str, Tensor]] = {}
    for key, tensor in stored.items():
        kind = next((k for k in kinds if key.endswith("." + k)), None)
        if kind is None:
            raise ModelError(f"tensor {key!r} in {path} is none of {', '.join(kinds)}",
                             hint="adapters of embeddings and of other kinds of layers are not supported")  # fmt: skip
        grouped.setdefault(key.removesuffix("." + kind).removeprefix(_KEY), {})[kind] = tensor
    found: dict[str, _Module] = {}
    for name, tensors in grouped.items():
        file = name if name in by_file else next((f for f in by_file if matches(name, f)), None)
        if file is None:
            raise ModelError(
                f"{path} has an adapter of {name!r}, which is no linear layer of this model's blocks",
                hint=f"the adapter belongs to another model; a layer of this one is {next(iter(by_file), 'none')}",
            )
        parts = tuple(every[sibling] for sibling in by_file[file].siblings)
        layers = [model.get_submodule(part.name) for part in parts]
        outs = tuple(int(layer.out_features) for layer in layers)  # type: ignore[arg-type]
        found[file] = _Module(file, parts, tensors, int(layers[0].in_features), outs)  # type: ignore[arg-type]
    if not found:
        raise ModelError(f"{path} holds no tensors")
    return found


def _expect(module: _Module, kind: str, shape: tuple[int, ...], path: Path) -> Tensor:
    tensor = module.tensors.get(kind)
    if tensor is None:
        raise ModelError(f"{path} lacks {kind} of {module.file!r}", hint="the file is not complete; save it again")
    if tuple(tensor.shape) != shape:
        raise ModelError(
            f"tensor {_KEY}{module.file}.{kind} in {path} has shape {list(tensor.shape)}, this model asks for {list(shape)}",
            hint="the adapter belongs to a model of another size",
        )
    return tensor


def _layer(model: Decoder, part: Projection) -> AdaptedLinear:
    layer = model.get_submodule(part.name)
    assert isinstance(layer, AdaptedLinear)
    return layer


def _number(raw: Mapping[str, Any], key: str, default: float, path: Path) -> float:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(f"{path.parent / CONFIG} has {key} = {value!r}, which is not a number")
    return float(value)


def _read_lora(
    model: Decoder, raw: Mapping[str, Any], stored: Mapping[str, Tensor], path: Path, quantize: Any
) -> tuple[AdapterConfig, Fill]:
    dora = bool(raw.get("use_dora"))
    kinds = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")
    found = _modules(model, stored, path, kinds if dora else kinds[:2])
    alpha = _number(raw, "lora_alpha", 8, path)
    patterns = {"rank_pattern": raw.get("rank_pattern") or {}, "alpha_pattern": raw.get("alpha_pattern") or {}}
    for field, given in patterns.items():
        for key in given:
            if not _PATTERN.fullmatch(key):
                raise ModelError(f"{path.parent / CONFIG} has the regular expression {key!r} in {field}",
                                 hint="write the names of the modules out")  # fmt: skip
    ranks: dict[str, int] = {}
    alphas: dict[str, float] = {}
    for file, module in found.items():
        a = module.tensors.get("lora_A.weight")
        rank = a.shape[0] if a is not None and a.dim() == 2 else 0
        _expect(module, "lora_A.weight", (max(rank, 1), module.in_features), path)
        _expect(module, "lora_B.weight", (sum(module.outs), rank), path)
        if dora:
            _expect(module, "lora_magnitude_vector", (sum(module.outs),), path)
        ranks[file] = rank
        for key in patterns["alpha_pattern"]:
            if matches(key, file):
                alphas[file] = _number(patterns["alpha_pattern"], key, alpha, path)
                break
    r = raw.get("r")
    r = r if isinstance(r, int) and r in ranks.values() else next(iter(ranks.values()))
    init = raw.get("init_lora_weights")
    try:
        config = LoRAConfig(
            r=r,
            lora_alpha=alpha,
            lora_dropout=_number(raw, "lora_dropout", 0.0, path),
            target_modules=tuple(_short_names(model, found)),
            rank_pattern={file: rank for file, rank in ranks.items() if rank != r},
            alpha_pattern={file: value for file, value in alphas.items() if value != alpha},
            use_rslora=bool(raw.get("use_rslora")),
            use_dora=dora,
            quantize=quantize,
            init_lora_weights="gaussian" if init == "gaussian" else "kaiming",
        )
    except ConfigError as error:
        raise ModelError(f"{path.parent / CONFIG} is not a valid adapter config: {error}") from error

    def fill(name: str) -> None:
        for module in found.values():
            pieces = module.tensors["lora_B.weight"].split_with_sizes(module.outs)
            lengths = module.tensors["lora_magnitude_vector"].split_with_sizes(module.outs) if dora else None
            for i, part in enumerate(module.parts):
                lora: LoRA = _layer(model, part).adapters[name]
                lora.lora_A.copy_(module.tensors["lora_A.weight"])
                lora.lora_B.copy_(pieces[i])
                if lengths is not None:
                    assert lora.lora_magnitude_vector is not None
                    lora.lora_magnitude_vector.copy_(lengths[i])

    return config, fill


def _read_ia3(
    model: Decoder, raw: Mapping[str, Any], stored: Mapping[str, Tensor], path: Path, quantize: Any
) -> tuple[AdapterConfig, Fill]:
    found = _modules(model, stored, path, ("ia3_l",))
    inputs: dict[str, Any] = {}
    for file, module in found.items():
        tensor = module.tensors["ia3_l"]
        if tensor.dim() == 2 and tensor.shape[0] == 1 and module.in_features != 1:
            inputs[file] = None
            _expect(module, "ia3_l", (1, module.in_features), path)
        else:
            _expect(module, "ia3_l", (sum(module.outs), 1), path)
    config = IA3Config(
        target_modules=tuple(_short_names(model, found)), feedforward_modules=tuple(_short_names(model, inputs))
    )

    def fill(name: str) -> None:
        for file, module in found.items():
            vector = module.tensors["ia3_l"].flatten()
            pieces = [vector] * len(module.parts) if file in inputs else vector.split_with_sizes(module.outs)
            for part, piece in zip(module.parts, pieces, strict=True):
                _layer(model, part).adapters[name].ia3_l.copy_(piece)

    return config, fill


def _read_bottleneck(
    model: Decoder, raw: Mapping[str, Any], stored: Mapping[str, Tensor], path: Path, quantize: Any
) -> tuple[AdapterConfig, Fill]:
    found = _modules(model, stored, path, tuple(f"bottleneck_{key}" for key in _BOTTLENECK))
    from ..core.config import parse

    fields = {key: raw[key] for key in ("bottleneck_size", "placement", "activation") if key in raw}
    try:
        config = parse(BottleneckConfig, fields)
    except ConfigError as error:
        raise ModelError(f"{path.parent / CONFIG} is not a valid adapter config: {error}") from error
    size = config.bottleneck_size
    wanted = ("o_proj", "down_proj") if config.placement == "houlsby" else ("down_proj",)
    places = {p.file for p in projections(model).values() if any(matches(end, p.name) for end in wanted)}
    if places != set(found):
        odd = sorted(places ^ set(found))[0]
        raise ModelError(f"{path} and its {CONFIG} (placement {config.placement}) disagree about {odd!r}",
                         hint="the adapter belongs to another model, or is not complete")  # fmt: skip
    for module in found.values():
        out = module.outs[0]
        for key, shape in zip(_BOTTLENECK, ((size, out), (size,), (out, size), (out,))):
            _expect(module, f"bottleneck_{key}", shape, path)

    def fill(name: str) -> None:
        for module in found.values():
            adapter: Bottleneck = _layer(model, module.parts[0]).adapters[name]
            for key in _BOTTLENECK:
                adapter.get_parameter(key).copy_(module.tensors[f"bottleneck_{key}"])

    return config, fill


def _read_virtual(
    model: Decoder, raw: Mapping[str, Any], stored: Mapping[str, Tensor], path: Path, quantize: Any
) -> tuple[AdapterConfig, Fill]:
    heads, size = key_value_shape(model)
    prefix = raw["peft_type"] == "PREFIX_TUNING"
    width = model.config.num_hidden_layers * 2 * heads * size if prefix else model.config.hidden_size
    count = raw.get("num_virtual_tokens")
    if set(stored) != {"prompt_embeddings"}:
        raise ModelError(f"{path} holds {sorted(stored)!r:.120}, not prompt_embeddings alone")
    shape = list(stored["prompt_embeddings"].shape)
    if not isinstance(count, int) or count < 1 or shape != [count, width]:
        raise ModelError(
            f"tensor 'prompt_embeddings' in {path} has shape {shape}; "
            f"num_virtual_tokens = {count!r} and this model ask for {[count, width]}",
            hint="the adapter belongs to a model of another size",
        )
    config: PrefixConfig | PromptConfig = (
        PrefixConfig(num_virtual_tokens=count) if prefix else PromptConfig(num_virtual_tokens=count)
    )

    def fill(name: str) -> None:
        module: Prefix | Prompt = adapters_of(model).virtual[name]
        module.prompt_embeddings.copy_(stored["prompt_embeddings"])

    return config, fill


_READERS = {
    "LORA": _read_lora,
    "IA3": _read_ia3,
    "PREFIX_TUNING": _read_virtual,
    "PROMPT_TUNING": _read_virtual,
    "BOTTLENECK": _read_bottleneck,
}
