"""A decoding rule of the user's: a class that is a `Sampler` as it is, or a function in NumPy about one row.

The function asks by name for what it needs of logits [V], history (the ids so far), share (top-p's), k, min_p, temperature and penalty;
it returns logits [V], or probabilities [V] (what has nothing negative and adds up to 1), and may not see the other rows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.config import Use, load_user_part, user_function
from ..core.errors import ConfigError
from ..core.types import SamplingParams
from ..nn.protocols import Sampler

_PROBE_TOKENS = 8
_DEFAULT_PENALTY = 1.3
"""Where none is asked for: the value of Keskar et al. 2019, section 4.1, rounded."""


def own_sampler(use: Use, params: SamplingParams, *, root: Path | None = None) -> Sampler:
    """The rule that `use` names. params: where a function's share, k, ... come from. ConfigError says what was expected."""
    part = load_user_part(use, root=root)
    if inspect.isfunction(part):
        offered = {
            "share": params.top_p, "top_p": params.top_p, "k": params.top_k, "top_k": params.top_k, "min_p": params.min_p,
            "temperature": params.temperature,
            "penalty": params.repetition_penalty if params.repetition_penalty != 1 else _DEFAULT_PENALTY,
        }  # fmt: skip
        rule: Sampler = _Rows(use.use, user_function(use, ("logits", "history", *offered), root=root), offered)
    else:
        rule = part(**use.args)
        if not callable(rule):
            raise ConfigError(f"{use.use} makes {type(rule).__name__}, which cannot be called with (logits, history)")
    probe = torch.randn(2, _PROBE_TOKENS, generator=torch.Generator().manual_seed(0))
    try:
        made = rule(probe.clone(), [[1, 2], [3]])
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{use.use} failed on logits [2, {_PROBE_TOKENS}]: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, Tensor) or made.shape != probe.shape:
        got = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise ConfigError(f"{use.use} must return logits [B, V] = {list(probe.shape)}, not {got}")
    return rule


class _Rows:
    """A function about one row, over all rows."""

    def __init__(self, name: str, function: Callable[..., Any], offered: Mapping[str, Any]) -> None:
        self.name, self.function, self.offered = name, function, offered

    def __call__(self, logits: Tensor, history: Sequence[Sequence[int]]) -> Tensor:
        rows = [self._row(row, ids) for row, ids in zip(logits.cpu().double().numpy(), history, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(logits.device, logits.dtype)

    def _row(self, logits: Any, history: Sequence[int]) -> Any:
        made = np.asarray(self.function(logits=logits.copy(), history=list(history), **self.offered), np.float64)
        if made.shape != logits.shape:
            raise ConfigError(f"{self.name} must return [V] = {list(logits.shape)} numbers, not {list(made.shape)}")
        if np.isnan(made).any() or not (made > -np.inf).any():
            raise ConfigError(
                f"{self.name} left no token to choose from" if not np.isnan(made).any() else f"{self.name} gave NaN"
            )
        if (made >= 0).all() and abs(made.sum() - 1) < 1e-6:
            with np.errstate(divide="ignore"):
                return np.log(made)
        return made
