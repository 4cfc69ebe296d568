"""Networks that are no `Decoder` and yet are trained, saved and opened like one: the joint, and the table of them.

A network of another kind is an `nn.Module` with the members below. Its directory has a `model_type` of its own in config.json, and its
tensors bear the names of its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol

from torch import nn

NETWORKS = {
    "groundup_seq2seq": "groundup.models.seq2seq.model:Seq2Seq",
    "groundup_rnn": "groundup.models.rnn:RecurrentLM",
    "groundup_feedforward_lm": "groundup.models.rnn:FeedForwardLM",
}
"""`model_type` of config.json -> "module:class"."""


class NetworkConfig(Protocol):
    @property
    def vocab_size(self) -> int: ...

    @property
    def hidden_size(self) -> int: ...

    @property
    def num_hidden_layers(self) -> int: ...

    @property
    def max_position_embeddings(self) -> int: ...

    @property
    def tie_word_embeddings(self) -> bool: ...


class Network(Protocol):
    """What training and the model directory need."""

    model_type: ClassVar[str]
    embed_tokens: nn.Embedding
    checkpoint_activations: bool

    @property
    def lm_head(self) -> Any: ...

    @property
    def config(self) -> NetworkConfig: ...

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> Any:
        """The network that a config.json describes, its weights not yet drawn. ConfigError or ModelError if it is not complete."""
        ...

    def raw_config(self) -> dict[str, Any]:
        """The architecture part of config.json, `model_type` included."""
        ...

    def prepare_positions(self, num_positions: int) -> None: ...

    def num_parameters(self, *, embeddings: bool = True) -> int: ...

    def flops_per_token(self, context_tokens: int) -> float:
        """Training floating-point operations per token, forward and backward."""
        ...


def network_class(model_type: Any) -> type[Network] | None:
    """The class for a `model_type`; None if it is a decoder's or unknown."""
    target = NETWORKS.get(str(model_type))
    if target is None:
        return None
    module, _, name = target.partition(":")
    found: type[Network] = getattr(import_module(module), name)
    return found
