"""The model directory of an n-gram model: `config.json` (model_type "ngram"), `model.safetensors`, the tokenizer's files.

Everything that the compiled loops take for granted is checked when it is read: a damaged file is refused by name and never
sends them outside of an array.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...core.artifact import SEAL, atomic_write, verify, write_json
from ...core.errors import ArtifactError
from ..facts import CONFIG, read_model_config
from ..weights import SINGLE
from .counting import MAX_ORDER
from .model import NGramModel

MODEL_TYPE = "ngram"
_ARRAYS = {"offsets": "int64", "word": "int32", "suffix": "int32", "first_child": "int32", "logprob": "float32",
           "backoff": "float32"}  # fmt: skip
_AGAIN = "run its recipe again, or copy the directory again from where it came"


def save_ngram(model: NGramModel, directory: Path, *, tokenizer: Any, smoothing: Any = None) -> None:
    """Write the directory; it is not sealed. tokenizer: anything with `save(directory)`. smoothing: plain data, for the record."""
    from safetensors.numpy import save

    directory.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(getattr(model, name), dtype) for name, dtype in _ARRAYS.items()}
    with atomic_write(directory / SINGLE) as file:
        file.write(save(arrays))
    write_json(
        directory / CONFIG,
        {
            "model_type": MODEL_TYPE,
            "architectures": ["NGramModel"],
            "order": model.order,
            "vocab_size": model.vocab_size,
            "end_of_line_id": model.end_of_line,
            "num_ngrams": model.num_ngrams,
            "smoothing": smoothing,
        },
    )
    tokenizer.save(directory)


def load_ngram(directory: Path) -> NGramModel:
    """ArtifactError when a file is missing, damaged, or not what its config says."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    config = read_model_config(directory)
    if config.get("model_type") != MODEL_TYPE:
        raise ArtifactError(f"{directory} holds a {config.get('model_type')!r}, not an n-gram model")
    if (directory / SEAL).is_file():
        verify(directory, kind="model")
    path = directory / SINGLE
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}", hint=_AGAIN) from None
    wrong = [n for n, dtype in _ARRAYS.items() if n not in arrays or arrays[n].dtype != dtype or arrays[n].ndim != 1]
    if wrong:
        raise ArtifactError(f"{path} has no proper array {wrong[0]!r}", hint=_AGAIN)
    size, end = config.get("vocab_size"), config.get("end_of_line_id")
    if type(size) is not int or not (end is None or (type(end) is int and 0 <= end < size)):
        raise ArtifactError(
            f"{directory / CONFIG}: vocab_size {size!r} or end_of_line_id {end!r} is wrong", hint=_AGAIN
        )
    model = NGramModel(vocab_size=size, **{name: arrays[name] for name in _ARRAYS}, end_of_line=end)
    problem = _problem(model)
    if problem:
        raise ArtifactError(f"{path} is damaged: {problem}", hint=_AGAIN)
    return model


def _problem(model: NGramModel) -> str:
    """What would send the compiled loops astray; "" if nothing."""
    offsets, nodes = model.offsets, len(model.word)
    if (
        not 3 <= len(offsets) <= MAX_ORDER + 2
        or offsets[0] != 0
        or offsets[-1] != nodes
        or (np.diff(offsets) < 0).any()
    ):
        return "its orders do not add up"
    if offsets[1] != 1 or offsets[2] != model.vocab_size + 2 or len(model.first_child) != nodes + 1:
        return "its vocabulary does not fit"
    if any(len(array) != nodes for array in (model.suffix, model.logprob, model.backoff)):
        return "its arrays are of different lengths"
    if (np.diff(model.first_child) < 0).any() or model.first_child[0] != 1 or model.first_child[-1] != nodes:
        return "its children are not in order"
    if not np.array_equal(model.word[1 : offsets[2]], np.arange(model.vocab_size + 1)):
        return "its single units are not in order"
    if (model.word[1:] < 0).any() or (model.word[offsets[2] :] >= model.vocab_size).any():
        return "an n-gram has a unit outside the vocabulary"
    for order in range(1, model.order + 1):
        here, below = slice(offsets[order], offsets[order + 1]), slice(offsets[order - 1], offsets[order])
        if (model.suffix[here] < below.start).any() or (model.suffix[here] >= below.stop).any():
            return f"an n-gram of order {order} has no suffix of the order below"
    if np.isnan(model.logprob).any() or np.isnan(model.backoff).any() or (model.logprob > 1e-6).any():
        return "it holds a probability that is none"
    return ""
