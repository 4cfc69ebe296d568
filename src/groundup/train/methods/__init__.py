"""One file per way to train: each opens a data artifact for its objectives (`open(start) -> Training`).

To add one: its config joins `ObjectiveNode`, its file joins `METHODS`.
"""

from __future__ import annotations

from importlib import import_module

from ...core.config import Use, node
from ...objectives.causal import CausalConfig
from ...objectives.heads import ClassificationConfig, SpanConfig, TaggingConfig
from ...objectives.policy import GRPOConfig, PPOConfig, ReinforceConfig, RLOOConfig
from ...objectives.preference import DPOConfig, IPOConfig, KTOConfig, ORPOConfig, SimPOConfig
from ...objectives.sft import SFTConfig
from ..training import Start, Training

_PREFERENCE = (DPOConfig, IPOConfig, ORPOConfig, SimPOConfig, KTOConfig)
_POLICY = (GRPOConfig, RLOOConfig, ReinforceConfig, PPOConfig)

ObjectiveNode = node(CausalConfig, SFTConfig, *_PREFERENCE, *_POLICY)

METHODS: dict[type, str] = {
    CausalConfig: "windows",
    SFTConfig: "conversations",
    **dict.fromkeys(_PREFERENCE, "preference"),
    **dict.fromkeys(_POLICY, "policy"),
    **dict.fromkeys((ClassificationConfig, TaggingConfig, SpanConfig), "heads"),
    Use: "own",
}
"""Class of the objective's config -> module here."""


def open_training(start: Start) -> Training:
    module = import_module(f".{METHODS[type(start.stage.objective)]}", __name__)
    training: Training = module.open(start)
    return training
