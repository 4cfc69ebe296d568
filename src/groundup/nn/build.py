"""From config nodes to modules: the one table of built-in parts, and the door for the user's own.

A user's part is a class in a local file, made with keyword arguments only: those of its node's `args`, and those it asks for
by name among what its place offers (hidden_size, layer_index, num_hidden_layers, replaced). `replaced` is the plain config
of the part it was swapped for. It is tried on a small input at once, so that a wrong shape is an error here and not later.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.config import Use, load_user_part, user_function
from ..core.errors import ModelError
from .ffn import MLP, Gated, GatedConfig, MLPConfig
from .mixers.attention import Attention, AttentionConfig
from .norm import LayerNorm, LayerNormConfig, RMSNorm, RMSNormConfig
from .position import Rope, RopeConfig
from .state import Replay

_PROBE_TOKENS = 5


def build_user_part(use: Use, *, root: Path | None = None, **offered: Any) -> nn.Module:
    """Make the user's part; ConfigError or ModelError say what was expected."""
    cls = load_user_part(use, root=root)
    if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
        raise ModelError(f"{use.use} is not an nn.Module class", hint="class MyPart(nn.Module): ...")
    # A class without an __init__ of its own takes nothing, though nn.Module's would seem to take all.
    own = cls.__init__ is not nn.Module.__init__
    parameters = inspect.signature(cls).parameters if own else {}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    offered["replaced"] = dict(use.replaces)
    wanted = {name: value for name, value in offered.items() if takes_all or name in parameters}
    # A part may also ask by name for a field of the part it takes the place of.
    wanted |= {name: value for name, value in use.replaces.items() if name in parameters and name not in wanted}
    try:
        part: nn.Module = cls(**wanted, **use.args)
    except TypeError as error:
        names = ", ".join(sorted({*offered, *use.replaces}))
        raise ModelError(f"{use.use} cannot be made: {error}", hint=f"its place offers by name: {names}") from error
    return part


def build_mixer(
    config: AttentionConfig | Use, hidden_size: int, *, layer_index: int = 0, num_layers: int = 1
) -> nn.Module:
    if isinstance(config, AttentionConfig):
        return Attention(hidden_size, config)
    part = build_user_part(config, hidden_size=hidden_size, layer_index=layer_index, num_hidden_layers=num_layers)
    result = _probe(config, part, hidden_size)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
        raise ModelError(f"{config.use}: forward(x, state=None) must return (y, state), not {type(result).__name__}")
    _expect_shape(config, result[0], hidden_size)
    _expect_causal(config, part, hidden_size)
    return part if callable(getattr(part, "init_memory", None)) else Replay(part, hidden_size)


def build_ffn(
    config: MLPConfig | GatedConfig | Use, hidden_size: int, *, layer_index: int = 0, num_layers: int = 1
) -> nn.Module:
    match config:
        case MLPConfig():
            return MLP(hidden_size, config)
        case GatedConfig():
            return Gated(hidden_size, config)
        case Use():
            part = build_user_part(
                config, hidden_size=hidden_size, layer_index=layer_index, num_hidden_layers=num_layers
            )
            _expect_shape(config, _probe(config, part, hidden_size), hidden_size)
            return part
    raise AssertionError(config)


def build_position(config: Use, head_dim: int) -> nn.Module:
    """A user's position part: forward(q, k, positions) -> (q, k) of the same shapes; positions [B, T], or None for 0 .. T-1.

    A function of x [B, H, T, N] that turns the vectors of positions 0 .. T-1, and may ask for theta, is one too.
    """
    part: nn.Module
    if inspect.isfunction(load_user_part(config)):
        part = TurnedByFunction(config)
    else:
        part = build_user_part(config, head_dim=head_dim)
    q, k = torch.randn(2, 4, _PROBE_TOKENS, head_dim), torch.randn(2, 2, _PROBE_TOKENS, head_dim)
    try:
        with torch.no_grad():
            result = part(q, k, None)
    except Exception as error:
        raise ModelError(f"{config.use} failed on q {list(q.shape)} and k {list(k.shape)}: "
                         f"{type(error).__name__}: {error}") from error  # fmt: skip
    if not (isinstance(result, tuple) and [getattr(t, "shape", None) for t in result] == [q.shape, k.shape]):
        raise ModelError(f"{config.use}: forward(q, k, positions) must return (q, k) of the shapes that it was given")
    return part


class TurnedByFunction(nn.Module):
    """A position part made of a function that knows positions 0 .. T-1 only: vectors of other positions are laid where they belong
    among zeros, turned, and taken out again. That costs as much as the furthest position, which a learner's part may."""

    def __init__(self, config: Use) -> None:
        super().__init__()
        self.turn = user_function(config, ("x", "theta"))
        self.theta = float(config.replaces.get("rope_theta", RopeConfig().rope_theta))

    def forward(self, q: Tensor, k: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._turned(q, positions), self._turned(k, positions)

    def _turned(self, x: Tensor, positions: Tensor | None) -> Tensor:
        if positions is None:
            return self._checked(self.turn(x=x, theta=self.theta), x)
        at = positions.expand(x.shape[0], -1)[:, None, :, None].expand_as(x)
        laid = x.new_zeros(*x.shape[:2], int(positions.max()) + 1, x.shape[3]).scatter(2, at, x)
        return self._checked(self.turn(x=laid, theta=self.theta), laid).gather(2, at)

    def _checked(self, y: Any, x: Tensor) -> Tensor:
        if not isinstance(y, Tensor) or y.shape != x.shape:
            got = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ModelError(
                f"{self.turn.__name__} must keep the shape [B, H, T, N] = {list(x.shape)}, but returned {got}"
            )
        return y.to(x.dtype)


def build_norm(config: RMSNormConfig | LayerNormConfig | Use, size: int) -> nn.Module:
    match config:
        case RMSNormConfig():
            return RMSNorm(size, config)
        case LayerNormConfig():
            return LayerNorm(size, config)
        case Use():
            part = build_user_part(config, hidden_size=size)
            _expect_shape(config, _probe(config, part, size), size)
            return part
    raise AssertionError(config)


def _probe(use: Use, part: nn.Module, hidden_size: int) -> Any:
    x = torch.randn(2, _PROBE_TOKENS, hidden_size, generator=torch.Generator().manual_seed(0))
    for module in part.modules():  # a part made of ours: the model prepares tables once it has all its layers
        if isinstance(module, Rope):
            module.prepare(_PROBE_TOKENS)
    try:
        with torch.no_grad():
            return part(x)
    except Exception as error:
        raise ModelError(
            f"{use.use} failed on an input of shape [2, {_PROBE_TOKENS}, {hidden_size}]: {type(error).__name__}: {error}"
        ) from error


def _expect_shape(use: Use, y: Any, hidden_size: int) -> None:
    expected = [2, _PROBE_TOKENS, hidden_size]
    got = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
    if got != expected:
        raise ModelError(f"{use.use} must keep the shape [B, T, D] = {expected}, but returned {got}")


def _expect_causal(use: Use, part: nn.Module, hidden_size: int) -> None:
    x = torch.randn(1, _PROBE_TOKENS, hidden_size, generator=torch.Generator().manual_seed(1))
    changed = x.clone()
    changed[:, -1] += 1.0
    training = part.training
    part.eval()
    with torch.no_grad():
        before, after = part(x)[0], part(changed)[0]
    part.train(training)
    if not torch.allclose(before[:, :-1], after[:, :-1], atol=1e-5):
        raise ModelError(
            f"{use.use} lets a position see later ones: changing the last token changed earlier outputs",
            hint="mask the scores so that position t sees 0 .. t only",
        )
