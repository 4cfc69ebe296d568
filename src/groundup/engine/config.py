"""What an operator may set of an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    max_batch_size: int = 16
    """Rows: how many sequences are worked on at the same time. Memory for keys and values grows with it."""
    max_context_tokens: int | None = None
    """Prompt and completion together; None: what the model was made for (max_position_embeddings)."""
    max_waiting: int = 256
    """Calls to generate that may wait without any of their requests having a row; one more gets BusyError (HTTP 429)."""
    dtype: Literal["model", "auto", "bfloat16", "float32"] = "model"
    """Numbers that the weights are kept and multiplied in. model: as given, sharing its parameters. auto: whichever of
    bfloat16 and float32 decodes faster here, measured when the engine starts."""
    compile: Literal["auto", "always", "never"] = "auto"
    """Decode through one compiled step (compiled.py) where the model is made of standard parts. auto: from 8 million
    parameters on; compiling takes about 20 seconds of one core, once a machine, and smaller models are quick without it.
    With inline it is another step, made for many rows (wide_step.py), from half a million parameters on."""
    prefill_chunk_tokens: int = 512
    """Prompt tokens worked on between two decode steps: larger finishes prompts sooner, smaller keeps streams smooth."""
    threads: int | None = None
    """CPU threads of the scheduler's operations; None: as torch is set."""
    inline: bool = False
    """No thread of its own: whoever reads a stream, scores or calls runs the steps, with torch's threads as they are set;
    other threads wait their turn. For a training loop that samples from its own model: two teams of threads on the same
    cores take twice as long. The same requests of one call, made while nothing else runs, then give the same tokens and
    log-probabilities to the last bit, whatever was done before."""

    def __post_init__(self) -> None:
        for name in ("max_batch_size", "max_waiting", "prefill_chunk_tokens"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"must be at least 1, not {value}", path=f"engine.{name}")
        if self.inline and self.threads is not None:
            raise ConfigError(
                "must be null with inline: the caller's own threads do the work",
                path="engine.threads",
                hint="call torch.set_num_threads in the program that makes the engine",
            )
        for name in ("max_context_tokens", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"must be at least 1 or null, not {value}", path=f"engine.{name}")
