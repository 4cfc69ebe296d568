"""MinHash: which texts share most of their shingles, without comparing every pair (Broder 1997).

A shingle is `size` words in a row. A signature keeps, for each of `num_hashes` hash functions, the least hash of the text's
shingles; two signatures agree in a place with the chance that is the Jaccard similarity of the two sets. Signatures are cut
into bands, and texts that agree in a whole band are compared exactly (Leskovec et al., Mining of Massive Datasets, 3.4).
"""

from __future__ import annotations

from collections import defaultdict
from hashlib import blake2b

import numpy as np

from .overlap import words


def shingles(text: str, size: int = 3) -> np.ndarray:
    """[n] uint64: sorted distinct hashes of the text's runs of `size` words; a shorter text is one shingle."""
    parts = words(text)
    runs = {" ".join(parts[i : i + size]) for i in range(max(1, len(parts) - size + 1))}
    hashes = [int.from_bytes(blake2b(run.encode("utf-8", "replace"), digest_size=8).digest(), "big") for run in runs]
    return np.sort(np.array(hashes, dtype=np.uint64))


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Shared shingles per shingle of either text."""
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared)


class MinHash:
    """Signatures [num_hashes] uint32. Multiply-shift hashing (Dietzfelbinger et al. 1997)."""

    def __init__(self, *, num_hashes: int = 128, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        self._a = chance.integers(0, 2**63, size=(num_hashes, 1), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._b = chance.integers(0, 2**63, size=(num_hashes, 1), dtype=np.uint64)

    def signature(self, hashes: np.ndarray) -> np.ndarray:
        mixed: np.ndarray = (self._a * hashes[None, :] + self._b) >> np.uint64(32)  # modulo 2**64, on purpose
        return np.asarray(mixed.min(axis=1), dtype=np.uint32)


class NearTexts:
    """Texts added one by one; each is told which earlier ones are alike.

    threshold: Jaccard similarity of shingles from which two texts are alike. The bands are the most selective ones that
    still find a pair at the threshold with a chance of at least `min_recall`; every pair found is compared exactly, so
    there are no false alarms.
    """

    def __init__(
        self,
        *,
        threshold: float,
        shingle_words: int = 3,
        num_hashes: int = 128,
        min_recall: float = 0.95,
        seed: int = 0,
    ) -> None:
        self.threshold, self._size = threshold, shingle_words
        self._minhash = MinHash(num_hashes=num_hashes, seed=seed)
        self._rows = _rows_per_band(threshold, num_hashes, min_recall)
        self._bands = num_hashes // self._rows
        self._buckets: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(self._bands)]
        self._kept: list[np.ndarray] = []

    def alike(self, text: str) -> list[tuple[int, float]]:
        """(number of an added text, similarity) of each one alike, most similar first. The text is not added."""
        hashes = shingles(text, self._size)
        found = {number for bucket, key in zip(self._buckets, self._keys(hashes)) for number in bucket.get(key, ())}
        near = [(number, jaccard(hashes, self._kept[number])) for number in found]
        return sorted((pair for pair in near if pair[1] >= self.threshold), key=lambda pair: (-pair[1], pair[0]))

    def add(self, text: str) -> int:
        """The text's number: 0, 1, 2, ..."""
        hashes = shingles(text, self._size)
        number = len(self._kept)
        self._kept.append(hashes)
        for bucket, key in zip(self._buckets, self._keys(hashes)):
            bucket[key].append(number)
        return number

    def _keys(self, hashes: np.ndarray) -> list[bytes]:
        signature = self._minhash.signature(hashes)
        return [signature[i * self._rows : (i + 1) * self._rows].tobytes() for i in range(self._bands)]


def _rows_per_band(threshold: float, num_hashes: int, min_recall: float) -> int:
    for rows in range(num_hashes, 1, -1):
        if 1.0 - (1.0 - threshold**rows) ** (num_hashes // rows) >= min_recall:
            return rows
    return 1
