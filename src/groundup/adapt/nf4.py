"""4-bit NormalFloat (Dettmers et al. 2023, QLoRA, section 3 and appendix E): weights as one of 16 quantiles of a normal
distribution, times the largest absolute value of their block of 64; those scales again in 8 bits (double quantisation).

The frozen weight costs 4.5 bits a parameter, 4.127 with double quantisation, and is turned back for each product. Double
quantisation stores the scales less their mean as 8-bit floats (e4m3) with one float32 for 256 of them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCK = 64
"""Weights that share a scale."""
SCALE_BLOCK = 256
"""Scales that share a scale, with double quantisation."""
CODEBOOK = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""Appendix E. Seven negative and eight positive quantiles and an exact zero."""
_E4M3_MAX = 448.0


class NF4Weight(nn.Module):
    """One matrix in 4 bits. `dequantize` gives it back."""

    codes: Tensor
    scales: Tensor
    scale_scales: Tensor
    scale_mean: Tensor

    def __init__(self, weight: Tensor, *, double_quantize: bool = True) -> None:
        """weight [out, in] of any float dtype; only copies are kept."""
        super().__init__()
        self.shape = tuple(weight.shape)
        self.dtype = weight.dtype
        """What the weight was, and becomes again when an adapter is merged into it."""
        self.double_quantize = double_quantize
        flat = weight.detach().float().flatten()
        blocks = nn.functional.pad(flat, (0, -flat.numel() % BLOCK)).view(-1, BLOCK)
        absmax = blocks.abs().amax(dim=1)
        table = torch.tensor(CODEBOOK)
        borders = (table[1:] + table[:-1]) / 2
        unit = blocks / absmax.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
        codes = torch.bucketize(unit.flatten(), borders).to(torch.uint8)
        self.register_buffer("codes", codes[0::2] | (codes[1::2] << 4))
        self._store_scales(absmax)

    def _store_scales(self, absmax: Tensor) -> None:
        if not self.double_quantize:
            self.register_buffer("scales", absmax)
            self.register_buffer("scale_scales", torch.empty(0))
            self.register_buffer("scale_mean", torch.zeros(()))
            return
        mean = absmax.mean()
        centred = nn.functional.pad(absmax - mean, (0, -absmax.numel() % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
        largest = centred.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny)
        eighth = (centred / largest[:, None] * _E4M3_MAX).to(torch.float8_e4m3fn)
        self.register_buffer("scales", eighth.flatten()[: absmax.numel()].contiguous())
        self.register_buffer("scale_scales", largest / _E4M3_MAX)
        self.register_buffer("scale_mean", mean)

    def block_scales(self) -> Tensor:
        """[blocks] float32: what each block is multiplied by."""
        if not self.double_quantize:
            return self.scales
        repeated = self.scale_scales.repeat_interleave(SCALE_BLOCK)[: self.scales.numel()]
        return self.scales.float() * repeated + self.scale_mean

    def dequantize(self, dtype: torch.dtype | None = None) -> Tensor:
        """[out, in] in `dtype`, by default the weight's own."""
        pairs = _pairs(self.codes.device)
        values = torch.nn.functional.embedding(self.codes.int(), pairs).view(-1, BLOCK)
        values.mul_(self.block_scales()[:, None])
        count = self.shape[0] * self.shape[1]
        return values.flatten()[:count].view(self.shape).to(dtype or self.dtype)

    @property
    def nbytes(self) -> int:
        return sum(buffer.nbytes for buffer in (self.codes, self.scales, self.scale_scales, self.scale_mean))


def _pairs(device: torch.device) -> Tensor:
    """[256, 2]: the two values of each byte, low half first. 4,096 steps, next to nothing beside a matrix."""
    table = torch.tensor(CODEBOOK, device=device)
    return torch.stack((table.repeat(16), table.repeat_interleave(16)), dim=1)
