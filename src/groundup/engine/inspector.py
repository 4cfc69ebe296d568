"""A model with its attention open: what each head looks at, and what each next token costs with some heads silent.

The weights that `Attention` never makes (its kernels are fused) are made here again from the same projections, positions, masks, windows
and soft caps; a test holds that they, times the values, through `o_proj`, are what the part itself returned. A head is silenced by a
hook that sets its slice of `o_proj`'s input to zero (zero ablation, as in Michel et al. 2019, "Are Sixteen Heads Really Better than One?"),
for one call; the weights are never touched.

Left out: patching activations from another text, mean ablation, layers other than attention, encoder-decoders.

Letters: L layers, H heads, K kv heads, T positions, N head size, D hidden.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import ModelError, RequestError
from ..core.protocols import Tokenizer
from ..models.directory import load_network, read_generation_config, read_model_config
from ..models.seq2seq.model import Seq2Seq
from ..nn.mixers.attention import Attention, causal_mask
from ..tokenizers.load import load_tokenizer
from .load import bos_of

MOST_TOKENS = 1024
"""The weights of a text are L x H x T x T numbers: at 12 layers of 12 heads and this many tokens 600 MB."""


class Inspector:
    """Reads a text through a language model in this process. Calls from several threads wait for each other.

    bos_id: put before every text where the model was made so.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer, *, bos_id: int | None = None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._bos_id = bos_id
        # Exactly ours: of a class derived from it, which may do anything else in forward, what is shown might not be what it does.
        blocks = list(getattr(model, "blocks", ()))
        mixers = [block.mixer for block in blocks] or [None] * model.config.num_hidden_layers
        self._layers: list[Attention | None] = [m if type(m) is Attention else None for m in mixers]
        self._lock = threading.Lock()

    @classmethod
    def load(cls, directory: Path, *, trusted_parts: Collection[str] = ()) -> Inspector:
        """The model in a directory, in float32. trusted_parts: `file.py:Name` of the user's own parts that may be imported.

        Raises ArtifactError, ModelError or TokenizerError, naming the file, when something is missing, damaged or does not fit, and
        ModelError for what is no network that predicts the next token.
        """
        directory = Path(directory)
        if read_model_config(directory).get("model_type") == "ngram":
            raise ModelError(f"{directory} holds n-gram counts, which have no attention to look into")
        model: Any = load_network(directory, dtype=torch.float32, trusted_parts=trusted_parts)
        if isinstance(model, Seq2Seq):
            raise ModelError(f"{directory} holds an encoder-decoder; heads are shown of models that continue a text")
        tokenizer = load_tokenizer(directory)
        bos_id, add_bos = bos_of(directory, read_generation_config(directory), tokenizer)
        return cls(model, tokenizer, bos_id=bos_id if add_bos else None)

    @property
    def heads(self) -> tuple[int, ...]:
        """How many heads each of the L layers has that can be looked into; 0 for a recurrence, or a part of the user's own."""
        return tuple(0 if layer is None else layer.num_heads for layer in self._layers)

    def pieces(self, text: str) -> list[str]:
        """The T tokens that the model reads `text` as; a part of a character shows as U+FFFD."""
        return [self._tokenizer.token_bytes(i).decode("utf-8", "replace") for i in self._ids(text)]

    def attention(self, text: str) -> list[NDArray[np.float32]]:
        """L arrays [H, T, T]: how much position t (row) takes from position s (column); [0, T, T] for a layer without attention."""
        ids = self._ids(text)
        empty = np.zeros((0, len(ids), len(ids)), np.float32)
        found: list[NDArray[np.float32]] = [empty] * len(self._layers)

        def keep(layer: int) -> Callable[..., None]:
            def hook(part: nn.Module, args: tuple[Any, ...]) -> None:
                assert isinstance(part, Attention)
                found[layer] = attention_weights(part, args[0])[0].numpy()

            return hook

        with self._lock, _hooked((part, keep(i)) for i, part in enumerate(self._layers) if part is not None):
            self._run(ids)
        return found

    def losses(self, text: str, *, without: Sequence[tuple[int, int]] = ()) -> NDArray[np.float32]:
        """[T - 1] nats for each token but the first, with the output of the heads (layer, head) in `without` set to zero.

        Raises RequestError for a head that there is not.
        """
        ids = self._ids(text)
        silent: defaultdict[int, set[int]] = defaultdict(set)
        for layer, head in without:
            if not (0 <= layer < len(self._layers) and 0 <= head < self.heads[layer]):
                raise RequestError(f"there is no head {head} in layer {layer}; heads by layer: {list(self.heads)}")
            silent[layer].add(head)
        hooks = []
        for layer, heads in silent.items():
            part = self._layers[layer]
            assert part is not None
            hooks.append((part.o_proj, _silence(part, sorted(heads))))
        with self._lock, _hooked(hooks):
            logits = self._run(ids)
        targets = torch.tensor(ids[1:], dtype=torch.long)
        losses: NDArray[np.float32] = torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="none").numpy()
        return losses

    def close(self) -> None:
        """Let the weights go."""
        with self._lock:
            self._model = None
            self._layers = []

    def _ids(self, text: str) -> list[int]:
        model = self._model
        if model is None:
            raise ModelError("this model has been closed", hint="open it again")
        ids = self._tokenizer.encode(text)
        if self._bos_id is not None:
            ids = [self._bos_id, *ids]
        most = min(MOST_TOKENS, model.config.max_position_embeddings)
        if not ids or len(ids) > most:
            raise RequestError(
                f"the text is {len(ids)} tokens of this model; from 1 to {most} can be looked into",
                hint="shorten the text" if ids else "write a text",
            )
        return ids

    @torch.no_grad()
    def _run(self, ids: Sequence[int]) -> Tensor:
        """Logits [T, V]."""
        if self._model is None:  # closed while this call waited
            raise ModelError("this model has been closed", hint="open it again")
        logits: Tensor = self._model(torch.tensor([ids])).logits[0].float()
        return logits


def attention_weights(part: Attention, x: Tensor) -> Tensor:
    """What `part` weighs the values by for an input x [B, T, D] from position 0 on: [B, H, T, T] float32."""
    with torch.no_grad():
        q, k, _ = part.project(x)
        q, k = part.turn(q, k, None)
        k = k.repeat_interleave(part.num_heads // part.num_kv_heads, dim=1)
        scores = (q @ k.transpose(-1, -2)).float() * part.scale
        cap = part.config.logit_softcap
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        seen = causal_mask(x.shape[1], part.config.sliding_window, x.device)
        return torch.softmax(scores.masked_fill(~seen, -math.inf), dim=-1)


def _silence(part: Attention, heads: Sequence[int]) -> Callable[..., tuple[Tensor]]:
    size = part.head_dim

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        y = args[0].clone()
        for head in heads:
            y[..., head * size : (head + 1) * size] = 0.0
        return (y,)

    return hook


@contextmanager
def _hooked(hooks: Iterator[tuple[nn.Module, Any]] | Sequence[tuple[nn.Module, Any]]) -> Iterator[None]:
    handles = [module.register_forward_pre_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
