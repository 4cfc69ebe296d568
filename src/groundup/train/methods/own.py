"""The user's own objective, over token windows or conversations: whichever the data artifact holds."""

from __future__ import annotations

from typing import Any

from ...core.artifact import read_seal
from ...core.config import load_user_part
from ...core.errors import ConfigError, DataError
from ...nn.protocols import Objective
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
    made: Objective = load_user_part(config)(**config.args)
    missing = [name for name in ("collate", "loss") if not callable(getattr(made, name, None))]
    if missing:
        raise ConfigError(
            f"{config.use} lacks the method {missing[0]}",
            hint="an objective has collate(examples) -> Batch and loss(model, batch) -> LossOutput",
        )
    return made
