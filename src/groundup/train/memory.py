"""How much memory a training step takes: estimated before the run without taking any, measured after it.

The estimate runs one micro-batch's forward and backward on tensors that have shapes but no contents (PyTorch's fake tensors) and
counts every storage from the operation that makes it to the moment nothing holds it. So it knows what each part keeps for
its backward pass, which adapters train, what checkpointing saves, and which kernel would run, without a formula for any of
it. What an objective does with the vocabulary is counted by the rule of `objectives/cross_entropy.py`, since its code looks at
values. Optimizer states follow from their configs. Left out: the interpreter and its libraries (about 300 MB with torch),
what matrix libraries use inside, what the allocator cannot give back, and compiled code.

Letters: R rows, T positions, D hidden, V vocabulary.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..core.config import Use
from ..models.decoder import Decoder, DecoderConfig
from ..models.heads import HeadedDecoder
from ..objectives.cross_entropy import CHUNK_TOKENS, PLAIN_BYTES
from .optim.build import AdamW8bitConfig, OptimizerConfig, parameter_groups
from .optim.eightbit import SMALLEST

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_SAMPLE_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes at the fullest moment of a step; the parts add up to `total`."""

    weights: int
    """All parameters and buffers, frozen ones too; tied ones once."""
    gradients: int
    """Of trained parameters, as far as they are there at that moment."""
    optimizer: int
    activations: int
    """What the forward pass keeps for the backward pass."""
    logits: int
    """Scores over the vocabulary, their gradient, and what is made of them; 0 for a model with another head."""
    working: int
    """What operations hold for a moment: gradients of activations, recomputed blocks, an optimizer's products."""

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.working

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "total": self.total}

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {_size(value)}" for name, value in asdict(self).items() if value)
        return f"{_size(self.total)} ({parts})"


def estimate(
    model: nn.Module,
    rows: int,
    positions: int,
    *,
    optimizer: OptimizerConfig | Use,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    accumulate: bool = False,
    target_share: float = 1.0,
    threads: int | None = None,
) -> MemoryEstimate:
    """The memory of training `model` (a Decoder, plain, with adapters, or headed) on micro-batches of [R, T] = [rows, positions].

    dtype: of the matrix products (autocast); weights keep theirs. accumulate: there are several micro-batches a step, so
    gradients are there while the next one runs. target_share: how many of the positions are learned, which is how many need
    logits. threads: that training uses; None: as now. Only shapes are looked at and the model is not changed; it takes about a
    second, and some more the first time.
    """
    decoder = next(module for module in model.modules() if isinstance(module, Decoder))
    decoder.prepare_positions(positions)
    trained = [p for p in model.parameters() if p.requires_grad]
    was_training = model.training
    model.train()
    try:
        kept, peak, left = _simulate(decoder, trained, rows, positions, dtype)
    finally:
        model.train(was_training)
    weights = sum(t.nbytes for t in {*model.parameters(), *model.buffers()})
    gradients = sum(p.nbytes for p in trained)
    states = optimizer_bytes(optimizer, model)
    alone = (torch.get_num_threads() if threads is None else threads) == 1
    logits = (
        0 if isinstance(model, HeadedDecoder) else _logits_bytes(decoder, rows, positions, dtype, target_share, alone)
    )
    # The three moments that can be the fullest: the loss is made, the backward pass is at its widest, the weights change.
    before = gradients if accumulate else 0
    head_trained = decoder.lm_head.weight.requires_grad if isinstance(decoder.lm_head, nn.Linear) else False
    head_grad = decoder.embed_tokens.weight.nbytes if logits and head_trained else 0
    in_loss = kept + logits + before
    in_backward = peak + before + head_grad
    in_step = gradients + _step_bytes(optimizer, model)
    fullest = max(in_loss, in_backward, in_step)
    if fullest == in_step:
        parts = {"gradients": gradients, "activations": 0, "logits": 0}
    elif fullest == in_loss:
        parts = {"gradients": before, "activations": kept, "logits": logits}
    else:
        parts = {"gradients": min(before + left, fullest), "activations": 0, "logits": 0}
        parts["activations"] = min(kept, fullest - parts["gradients"])
    return MemoryEstimate(weights=weights, optimizer=states, **parts, working=fullest - sum(parts.values()))


def estimate_config(config: DecoderConfig, rows: int, positions: int, **settings: Any) -> MemoryEstimate:
    """`estimate` for a decoder that does not exist yet, without memory for its weights."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    checkpointed = settings.pop("checkpoint_activations", False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = Decoder(config)
        model.checkpoint_activations = checkpointed
        return estimate(model, rows, positions, **settings)


def optimizer_bytes(config: OptimizerConfig | Use, model: nn.Module) -> int:
    """What an optimizer remembers of the parameters that are trained; a user's own is taken to be Adam's two moments."""
    roles = parameter_groups(model)
    every = [p for params in roles.values() for p in params]
    if isinstance(config, AdamW8bitConfig):
        total = 0
        for role, params in roles.items():
            exact = role == "embeddings" and not config.eight_bit_embeddings
            for p in params:
                n = p.numel()
                rounded = n >= SMALLEST and not exact
                total += 2 * (n + 4 * -(-n // config.block_size)) if rounded else 2 * p.nbytes
        return total
    if not isinstance(config, Use) and config.type == "muon":
        return sum(p.nbytes * (1 if p.dim() == 2 else 2) for p in roles["matrices"]) + 2 * sum(
            p.nbytes for name in ("embeddings", "vectors") for p in roles[name]
        )
    return (2 if isinstance(config, Use) else config.states) * sum(p.nbytes for p in every)


def _step_bytes(config: OptimizerConfig | Use, model: nn.Module) -> int:
    """What an update holds for a moment: Muon stacks the matrices of one shape, in their dtype once and in bfloat16 about four
    times (the iterate, its square, that one's square, the next).
    """
    if isinstance(config, Use) or config.type != "muon":
        return 0
    shapes: dict[tuple[int, int], int] = {}
    for p in parameter_groups(model)["matrices"]:
        if p.dim() == 2:
            shapes[min(p.shape), max(p.shape)] = shapes.get((min(p.shape), max(p.shape)), 0) + p.numel()
    return max(((4 * 3 + 2 * 4) * n for n in shapes.values()), default=0)


def _logits_bytes(decoder: Decoder, rows: int, positions: int, dtype: str, target_share: float, alone: bool) -> int:
    """At the widest of the loss: whole logits are there as made, in float32, as log-softmax and as gradient; in chunks, one
    chunk of them, and the gradients of hidden states and head that are made at once. alone: on one thread the chunk has no
    copy in float32 (objectives/cross_entropy_kernel.py).
    """
    n, vocab = max(1, round(rows * positions * target_share)), decoder.config.vocab_size
    made = 2 if dtype != "float32" else 4
    if n * 4 * vocab <= PLAIN_BYTES:
        return n * vocab * (made + 3 * 4)
    chunk = min(n, CHUNK_TOKENS) * vocab * (2 * made + (0 if alone else 4))
    hidden = 2 * n * decoder.config.hidden_size * decoder.embed_tokens.weight.element_size()
    return chunk + hidden + 2 * decoder.embed_tokens.weight.nbytes


def _simulate(
    decoder: Decoder, trained: list[nn.Parameter], rows: int, positions: int, dtype: str
) -> tuple[int, int, int]:
    """Bytes of one forward and backward through the decoder: (kept after the forward pass, most at any moment, left at the end)."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import _get_current_dispatch_mode

    inside = isinstance(_get_current_dispatch_mode(), FakeTensorMode)
    mode: Any = contextlib.nullcontext() if inside else FakeTensorMode(allow_non_fake_inputs=True)
    with mode, torch.enable_grad():
        ids = torch.zeros(rows, positions, dtype=torch.long)
        # A weight's stand-in, which views of it share, is not made by the step.
        stand_ins = [] if inside else [mode.from_tensor(t) for t in (*decoder.parameters(), *decoder.buffers())]
        with _Storages(stand_ins) as storages:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != "float32"):
                hidden = decoder(ids).hidden
            kept = storages.now
            if not trained or not hidden.requires_grad:
                return 0, storages.most, 0
            grads = torch.autograd.grad(hidden, trained, torch.zeros_like(hidden), allow_unused=True)
            left = sum(g.nbytes for g in grads if g is not None)
            return kept, storages.most, left


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every storage that an operation makes, until nothing holds it."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        """known: tensors that are there already and stay."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known = [(tensor, id_of(tensor)) for tensor in known]
        self._alive: dict[int, Any] = dict.fromkeys((key for _, key in self._known))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id_of(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and id_of(leaf) not in given:
                self._count(leaf)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def gone(_: Any) -> None:
            if self._alive.pop(key, None) is not None:
                self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def id_of(tensor: Tensor) -> int:
    """The same for views of one storage: what an operation only looks at (a weight, transposed) is not made by it."""
    return int(tensor.untyped_storage()._cdata)


class PeakMemory:
    """Measures the most memory the process holds in RAM between entering and leaving, beyond what it held at the start.

    Linux keeps that maximum itself (VmHWM) and can be told to begin again; elsewhere, or where that is refused, a thread looks
    every 5 ms, which may miss a moment. With `device` a GPU's name: torch's own count of that GPU.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self.start_bytes = self.peak_bytes = 0
        self.exact = True
        """False: looked at from time to time."""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def grown_bytes(self) -> int:
        """The peak beyond the start."""
        return max(0, self.peak_bytes - self.start_bytes)

    def __enter__(self) -> PeakMemory:
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.start_bytes = self.peak_bytes = torch.cuda.memory_allocated(self.device)
            return self
        try:
            _CLEAR.write_text("5")
        except OSError:
            self.exact = False
        self.start_bytes = self.peak_bytes = resident_bytes()
        if not self.exact:
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def look(self) -> int:
        """The peak so far, in bytes."""
        if self.device != "cpu":
            self.peak_bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self.peak_bytes = max(self.peak_bytes, _status("VmHWM") if self.exact else resident_bytes())
        return self.peak_bytes

    def __exit__(self, *error: object) -> None:
        self.look()
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.peak_bytes = max(self.peak_bytes, resident_bytes())
            time.sleep(_SAMPLE_SECONDS)


def resident_bytes() -> int:
    """What the process holds in RAM now; 0 where the system does not say."""
    return _status("VmRSS")


def _status(name: str) -> int:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        if name != "VmRSS":
            return 0
        import resource

        # Not Linux: the maximum over the process's life is all there is.
        scale = 1 if os.uname().sysname == "Darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _size(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"
