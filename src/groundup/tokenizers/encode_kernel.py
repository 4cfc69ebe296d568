"""BPE encoding of pieces, compiled by Numba.

A piece that is a token of its own costs one look-up. Others are merged, lowest rank first and leftmost among equals: by scanning
an array when short, with a heap over linked symbols when longer, and window by window when very long, so that a megabyte without a
break takes linear time. A small direct-mapped cache remembers what pieces of up to 32 bytes became.

Why windows may be joined: if merging the bytes of each two neighbours of a sequence of tokens gives just these two back, then
merging all the bytes gives the sequence. (Take the first merge, in order of rank and place, that would cross a border: all before
it happened inside tokens, hence also when only the two tokens at that border are merged, and there it does not happen.) So it
is enough to merge again a few tokens on both sides of a joint, until the outermost ones come out as they were.

Shapes: see `merge_tables.MergeTables`, which owns the arrays. `reference.encode_piece` says the same in plain Python.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
from __future__ import annotations

import numpy as np
from numba import njit

from .hashing import EMPTY, SHORT, piece_key, same_bytes, slot_of

NO_MERGE = np.int64(0x7FFFFFFFFFFFFFFF)
SCAN_LIMIT = 48
"""Longest piece, in bytes, merged by scanning; measured on base64 text, beyond it the heap is faster."""
WINDOW = 1024
"""Bytes per window of a very long piece: its heap and symbols, some 44 KB, stay in the first-level cache."""
_JOINT = 2  # tokens on each side of a joint that are merged again at first
_GIVE_UP = 16 * WINDOW  # a joint that needs more bytes than this: the whole piece goes through one heap
CACHE_BYTES, CACHE_IDS = 32, 12


@njit("int64(int64, int64, uint64[::1], int64[::1])", nogil=True, cache=True)
def _merge_of(left, right, pair_key, pair_value):
    """rank << 32 | new id of the merge of two ids, or NO_MERGE."""
    key = (np.uint64(left) << np.uint64(32)) | np.uint64(right)
    mask = pair_key.size - 1
    slot = slot_of(key, mask)
    while True:
        found = pair_key[slot]
        if found == key:
            return pair_value[slot]
        if found == EMPTY:
            return NO_MERGE
        slot = (slot + 1) & mask


@njit(nogil=True, cache=True)
def fill_pairs(left, right, value, pair_key, pair_value):
    """Enter merges (int64 [merges] each; a later one replaces an earlier one of the same pair) into the table."""
    mask = pair_key.size - 1
    for i in range(left.size):
        key = (np.uint64(left[i]) << np.uint64(32)) | np.uint64(right[i])
        slot = slot_of(key, mask)
        while pair_key[slot] != EMPTY and pair_key[slot] != key:
            slot = (slot + 1) & mask
        pair_key[slot] = key
        pair_value[slot] = value[i]


@njit(nogil=True, cache=True)
def _merge_scan(ids, value, n, pair_key, pair_value):
    """Merge ids[:n] in place; value[i] is the merge of ids[i] and ids[i + 1]. Returns how many are left."""
    while n > 1:
        best = NO_MERGE
        at = -1
        for i in range(n - 1):
            if value[i] < best:
                best = value[i]
                at = i
        if at < 0:
            break
        ids[at] = best & 0xFFFFFFFF
        n -= 1
        for i in range(at + 1, n):
            ids[i] = ids[i + 1]
            value[i] = value[i + 1]
        if at > 0:
            value[at - 1] = _merge_of(ids[at - 1], ids[at], pair_key, pair_value)
        if at + 1 < n:
            value[at] = _merge_of(ids[at], ids[at + 1], pair_key, pair_value)
        else:
            value[at] = NO_MERGE
    return n


@njit("void(int64[::1], int64, int64)", nogil=True, cache=True)
def _sift_down(heap, size, i):
    item = heap[i]
    while True:
        child = 4 * i + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + 4, size)):
            if heap[other] < heap[best]:
                best = other
        if heap[best] >= item:
            break
        heap[i] = heap[best]
        i = best
    heap[i] = item


@njit(nogil=True, cache=True)
def _merge_heap(data, start, n, byte_id, byte_pair, pair_key, pair_value, out, written):
    """Merge the n bytes at `start` through a heap of rank << 32 | position. Returns (ids written so far, steps taken)."""
    ids = np.empty(n, np.int32)
    value = np.empty(n, np.int64)
    after = np.empty(n, np.int32)
    before = np.empty(n, np.int32)
    heap = np.empty(3 * n + 4, np.int64)
    size = 0
    steps = np.int64(0)
    for i in range(n):
        ids[i] = byte_id[data[start + i]]
        after[i] = i + 1
        before[i] = i - 1
        value[i] = NO_MERGE
        if i + 1 < n:
            value[i] = byte_pair[(np.int64(data[start + i]) << 8) | np.int64(data[start + i + 1])]
            if value[i] != NO_MERGE:
                heap[size] = (value[i] & np.int64(-0x100000000)) | i
                size += 1
    for i in range((size - 2) >> 2, -1, -1):
        _sift_down(heap, size, i)
    while size > 0:
        steps += 1
        top = heap[0]
        size -= 1
        if size:
            heap[0] = heap[size]
            _sift_down(heap, size, 0)
        i = top & 0xFFFFFFFF
        if value[i] == NO_MERGE or value[i] >> 32 != top >> 32:
            continue
        ids[i] = value[i] & 0xFFFFFFFF
        gone = after[i]
        value[gone] = NO_MERGE
        right = after[gone]
        after[i] = right
        value[i] = NO_MERGE
        for side in range(2):
            if side == 0:
                j = np.int64(before[i])
                if j < 0:
                    continue
            else:
                if right >= n:
                    continue
                before[right] = i
                j = i
            merge = _merge_of(ids[j], ids[after[j]], pair_key, pair_value)
            value[j] = merge
            if merge != NO_MERGE:
                item = (merge & np.int64(-0x100000000)) | j
                k = size
                size += 1
                while k > 0 and heap[(k - 1) >> 2] > item:
                    heap[k] = heap[(k - 1) >> 2]
                    k = (k - 1) >> 2
                heap[k] = item
    i = 0
    while i < n:
        out[written] = ids[i]
        written += 1
        i = after[i]
    return written, steps


@njit(nogil=True, cache=True)
def _merge_windows(data, start, n, byte_id, byte_pair, pair_key, pair_value, token_end, out, written):
    """Merge the n bytes at `start`, WINDOW bytes at a time. Returns (ids written so far, steps taken)."""
    first = written
    window = n if n <= 2 * WINDOW else np.int64(WINDOW)
    again = np.empty(_GIVE_UP if n > window else 1, np.int32)
    steps = np.int64(0)
    done = np.int64(0)
    while done < n:
        joint = written
        size = min(window, n - done)
        written, taken = _merge_heap(data, start + done, size, byte_id, byte_pair, pair_key, pair_value, out, written)
        steps += taken
        reach = np.int64(_JOINT)
        while joint > first:
            low, high = max(first, joint - reach), min(written, joint + reach)
            left = right = np.int64(0)
            for k in range(low, joint):
                left += token_end[out[k] + 1] - token_end[out[k]]
            for k in range(joint, high):
                right += token_end[out[k] + 1] - token_end[out[k]]
            if left + right > _GIVE_UP:
                window, size, done, written = n, np.int64(0), np.int64(0), first
                break
            count, taken = _merge_heap(
                data, start + done - left, left + right, byte_id, byte_pair, pair_key, pair_value, again, np.int64(0)
            )
            steps += taken
            if (low == first or again[0] == out[low]) and (high == written or again[count - 1] == out[high - 1]):
                if low + count <= high:
                    for k in range(high, written):
                        out[low + count + k - high] = out[k]
                else:
                    for k in range(written - 1, high - 1, -1):
                        out[low + count + k - high] = out[k]
                for k in range(count):
                    out[low + k] = again[k]
                written += low + count - high
                break
            reach *= 2
        done += size
    return written, steps


@njit(nogil=True, cache=True)
def encode_pieces(
    data, at, ends, count, out, written, direct_key, direct_id, spelled, token_end, byte_id, byte_pair,
    pair_key, pair_value, cache_key, cache_size, cache_bytes, cache_ids,
):  # fmt: skip
    """Ids of the pieces ends[:count], the first of which starts at byte `at`, into out[written:].

    Returns (ids written so far, or -1 - offset of a byte that no token spells; steps of the heap, for tests of linearity).
    """
    ids = np.empty(SCAN_LIMIT, np.int32)
    value = np.empty(SCAN_LIMIT, np.int64)
    mask = direct_key.size - 1
    steps = np.int64(0)
    for i in range(count):
        end = ends[i]
        n = end - at
        key = piece_key(data, at, end)
        slot = slot_of(key, mask)
        token = np.int64(-1)
        while direct_key[slot] != EMPTY:
            if direct_key[slot] == key:
                t = direct_id[slot]
                if n <= SHORT or (
                    token_end[t + 1] - token_end[t] == n and same_bytes(spelled, token_end[t], data, at, n)
                ):
                    token = t
                    break
            slot = (slot + 1) & mask
        if token >= 0:
            out[written] = token
            written += 1
            at = end
            continue
        c = 0
        if n <= CACHE_BYTES:
            c = slot_of(key, cache_key.size - 1)
            if cache_key[c] == key and (
                n <= SHORT or (cache_size[c] >> 8 == n and same_bytes(cache_bytes, c * CACHE_BYTES, data, at, n))
            ):
                left = cache_size[c] & 0xFF
                for k in range(left):
                    out[written + k] = cache_ids[c * CACHE_IDS + k]
                written += left
                at = end
                continue
        for k in range(at, end):
            if byte_id[data[k]] < 0:
                return -1 - k, steps
        if n > SCAN_LIMIT:
            written, taken = _merge_windows(
                data, at, n, byte_id, byte_pair, pair_key, pair_value, token_end, out, written
            )
            steps += taken
        else:
            for k in range(n):
                ids[k] = byte_id[data[at + k]]
                value[k] = NO_MERGE
                if k + 1 < n:
                    value[k] = byte_pair[(np.int64(data[at + k]) << 8) | np.int64(data[at + k + 1])]
            left = _merge_scan(ids, value, n, pair_key, pair_value)
            for k in range(left):
                out[written + k] = ids[k]
            written += left
            if n <= CACHE_BYTES and left <= CACHE_IDS:
                cache_key[c] = key
                cache_size[c] = (n << 8) | left
                for k in range(left):
                    cache_ids[c * CACHE_IDS + k] = ids[k]
                if n > SHORT:
                    for k in range(n):
                        cache_bytes[c * CACHE_BYTES + k] = data[at + k]
        at = end
    return written, steps
