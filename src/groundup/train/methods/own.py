"""The user's own objective, over token windows or conversations: whichever the data artifact holds.

It is a class with `collate` and `loss`, or a function in NumPy of logits and targets that gives the loss and its gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.artifact import read_seal
from ...core.config import Use, load_user_part, user_function
from ...core.errors import ConfigError, DataError
from ...nn.protocols import IGNORE, Batch, LossOutput, Objective
from ...objectives.causal import CausalLM, document_state
from ..training import Start, Training


def open(start: Start) -> Training:
    from .conversations import open_conversations
    from .windows import open_windows

    objective = own_objective(start)
    kind = read_seal(start.data).kind
    if kind == "tokens":
        return open_windows(start, objective)
    if kind == "instruct":
        return open_conversations(start, objective)
    raise DataError(f"{start.data} is a {kind!r} artifact; an objective of your own reads 'tokens' or 'instruct'")


def own_objective(start: Start) -> Objective:
    config: Any = start.stage.objective
    part = load_user_part(config)
    if inspect.isfunction(part):
        return LossByFunction(config)
    made: Objective = part(**config.args)
    missing = [name for name in ("collate", "loss") if not callable(getattr(made, name, None))]
    if missing:
        raise ConfigError(
            f"{config.use} lacks the method {missing[0]}",
            hint="an objective has collate(examples) -> Batch and loss(model, batch) -> LossOutput",
        )
    return made


class LossByFunction(CausalLM):
    """Next-token training whose loss is a function (logits [N, V], targets [N]) -> {"loss": number, "grad": [N, V]} in NumPy."""

    def __init__(self, config: Use) -> None:
        super().__init__()
        self.name = config.use
        self.function = user_function(config, ("logits", "targets"))

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        output = model(batch.input_ids, document_state(model, batch.documents))
        kept = batch.targets != IGNORE
        logits, targets = output.logits[kept], batch.targets[kept]
        loss: Tensor = _ByFunction.apply(logits, targets, self.function, self.name)  # type: ignore[no-untyped-call]
        accuracy = (logits.detach().argmax(-1) == targets).float().mean()
        metrics = {"loss": loss.detach(), "accuracy": accuracy, "tokens": kept.sum()}
        if output.aux_loss is not None:
            loss = loss + output.aux_loss
        return LossOutput(loss, metrics)


class _ByFunction(torch.autograd.Function):
    """A loss and a gradient from outside of PyTorch."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor, function: Callable[..., Any], name: str) -> Tensor:
        made = function(logits=logits.detach().cpu().double().numpy(), targets=targets.cpu().numpy())
        if not (isinstance(made, dict) and {"loss", "grad"} <= made.keys()):
            raise ConfigError(f"{name} must return {{'loss': number, 'grad': array}}, not {type(made).__name__}")
        grad = np.asarray(made["grad"], np.float64)
        if grad.shape != tuple(logits.shape):
            raise ConfigError(
                f"{name}: the gradient must have the logits' shape [N, V] = {list(logits.shape)}, not {list(grad.shape)}"
            )
        ctx.save_for_backward(torch.from_numpy(grad).to(logits.device, logits.dtype))
        return logits.new_tensor(float(made["loss"]), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = ctx.saved_tensors
        return grad * grads[0].to(grad.dtype), None, None, None
