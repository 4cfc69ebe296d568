"""One file per way to train: each opens a data artifact for its objectives (`open(start) -> Training`).

To add one: its config joins `ObjectiveNode`, its file joins `METHODS`.
"""

from __future__ import annotations

from importlib import import_module

from ...core.config import Use, node
from ...objectives.causal import CausalConfig
from ...objectives.heads import ClassificationConfig, SpanConfig, TaggingConfig
from ...objectives.infill import InfillConfig
from ...objectives.policy import GRPOConfig, PPOConfig, ReinforceConfig, RLOOConfig
from ...objectives.preference import DPOConfig, IPOConfig, KTOConfig, ORPOConfig, SimPOConfig
from ...objectives.reward import BradleyTerryConfig, MultiObjectiveConfig, OrdinalConfig
from ...objectives.seq2seq import Seq2SeqObjectiveConfig
from ...objectives.sft import SFTConfig
from ...objectives.stream import StreamConfig
from ..training import Start, Training

_HEADS = (ClassificationConfig, TaggingConfig, SpanConfig)
_PREFERENCE = (DPOConfig, IPOConfig, ORPOConfig, SimPOConfig, KTOConfig)
_REWARD = (BradleyTerryConfig, OrdinalConfig, MultiObjectiveConfig)
_POLICY = (GRPOConfig, RLOOConfig, ReinforceConfig, PPOConfig)

ObjectiveNode = node(
    CausalConfig,
    StreamConfig,
    SFTConfig,
    InfillConfig,
    Seq2SeqObjectiveConfig,
    *_HEADS,
    *_PREFERENCE,
    *_REWARD,
    *_POLICY,
)

METHODS: dict[type, str] = {
    CausalConfig: "windows",
    StreamConfig: "stream",
    SFTConfig: "conversations",
    InfillConfig: "infill",
    Seq2SeqObjectiveConfig: "translate",
    **dict.fromkeys(_PREFERENCE, "preference"),
    **dict.fromkeys(_REWARD, "reward"),
    **dict.fromkeys(_POLICY, "policy"),
    **dict.fromkeys(_HEADS, "heads"),
    Use: "own",
}
"""Class of the objective's config -> module here."""


def open_training(start: Start) -> Training:
    module = import_module(f".{METHODS[type(start.stage.objective)]}", __name__)
    training: Training = module.open(start)
    return training
