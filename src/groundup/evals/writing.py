"""The stage `write`: what a model writes after each prompt, at each temperature, side by side in the report.

Temperature divides the logits before the softmax: below 1 the likely becomes likelier (and the text safer, and given to repeating itself),
at 1 the model writes as it has learned, above 1 wilder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core.errors import ConfigError
from ..core.exhibits import Table, plain
from ..core.protocols import complete
from ..core.recipe import StageContext
from ..core.types import Request, SamplingParams


@dataclass(frozen=True, kw_only=True)
class WriteStage:
    model: str = "train"
    """The stage whose model writes."""
    prompts: tuple[str, ...]
    temperatures: tuple[float, ...] = (0.4, 0.7, 1.0)
    top_p: float = 1.0
    max_tokens: int = 200
    samples: int = 1
    """Of each prompt at each temperature."""
    type: Literal["write"] = "write"
    kind = "writing"

    def __post_init__(self) -> None:
        if not self.prompts or not self.temperatures:
            raise ConfigError("there must be at least one prompt and one temperature", path="prompts")

    def inputs(self) -> Sequence[str]:
        return (self.model,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        asked = [(p, t, n) for p in self.prompts for t in self.temperatures for n in range(self.samples)]
        model = context.open_model(context.inputs[self.model])
        try:
            made = complete(model, [self._request(p, t, context.seed + n) for p, t, n in asked])
        finally:
            model.close()
        rows = [
            (prompt, temperature, completion.text, _different(completion.text))
            for (prompt, temperature, _), completion in zip(asked, made, strict=True)
        ]
        written = [{"prompt": p, "temperature": t, "text": text, "different_words": d} for p, t, text, d in rows]
        table = Table(
            title="What the model writes",
            columns=["prompt", "temperature", "text", "different words"],
            rows=rows,
            sentence="The lower the temperature, the safer the choice of each next piece; the share of different words falls with it.",
        )
        return {"written": written, "exhibits": plain(table)}

    def _request(self, prompt: str, temperature: float, seed: int) -> Request:
        params = SamplingParams(max_tokens=self.max_tokens, temperature=temperature, top_p=self.top_p, seed=seed)
        return Request(prompt=prompt, params=params)


def _different(text: str) -> float:
    words = text.split()
    return round(len(set(words)) / len(words), 3) if words else 0.0
