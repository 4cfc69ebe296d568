"""The merge loop of BPE training, compiled by Numba.

The words are one array of symbols linked to their neighbours; every pair of neighbouring symbol ids has an index, a count, and
lists of the positions where it was seen. The most frequent pair comes off a heap whose stale entries are put back with their
true count when they surface, and only the positions of that pair are visited: the work is in proportion to the number of merges
applied, not to the text, and a word of a megabyte costs no more per merge than a short one.

Which pair is next, and every tie, is as in Hugging Face `tokenizers` (BpeTrainer): highest count, then the smaller left id, then
the smaller right id; a merge that spells an existing token reuses its id, and its pair may then be merged more than once, the
last time being the one that counts. `reference.train` says the same in plain Python and a test holds the two equal.

Departure: a merge that would spell a special token is left out (there the special token becomes an ordinary one).
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SYMBOL, _PREVIOUS, _NEXT, _PAIR = 0, 1, 2, 3
_FNV_BASIS = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


@njit(nogil=True, cache=True)
def _grown(array, used):  # type: ignore[no-untyped-def]
    larger = np.empty(2 * array.size, array.dtype)
    larger[:used] = array[:used]
    return larger


@njit(inline="always")
def _before(count_a, pair_a, count_b, pair_b):  # type: ignore[no-untyped-def]
    return count_a > count_b or (count_a == count_b and pair_a < pair_b)


@njit(nogil=True, cache=True)
def _push(heap_count, heap_pair, heap_entry, size, count, pair, entry):  # type: ignore[no-untyped-def]
    i = size
    while i > 0:
        up = (i - 1) >> 2
        if not _before(count, pair, heap_count[up], heap_pair[up]):
            break
        heap_count[i] = heap_count[up]
        heap_pair[i] = heap_pair[up]
        heap_entry[i] = heap_entry[up]
        i = up
    heap_count[i] = count
    heap_pair[i] = pair
    heap_entry[i] = entry


@njit(nogil=True, cache=True)
def _replace_top(heap_count, heap_pair, heap_entry, size, count, pair, entry):  # type: ignore[no-untyped-def]
    """Put (count, pair, entry) in the place of the top of a 4-ary heap of `size` entries, and sift it down."""
    i = 0
    while True:
        child = 4 * i + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + 4, size)):
            if _before(heap_count[other], heap_pair[other], heap_count[best], heap_pair[best]):
                best = other
        if not _before(heap_count[best], heap_pair[best], count, pair):
            break
        heap_count[i] = heap_count[best]
        heap_pair[i] = heap_pair[best]
        heap_entry[i] = heap_entry[best]
        i = best
    heap_count[i] = count
    heap_pair[i] = pair
    heap_entry[i] = entry


@njit(nogil=True, cache=True)
def learn_merges(
    arena, word_end, word_count, byte_id, token_bytes, token_end, num_special, vocab_size, min_frequency, status
):  # type: ignore[no-untyped-def]
    """Merges of the words, most frequent first.

    arena uint8, word_end int64 [words], word_count int64 [words]: the distinct words and how often each occurs.
    byte_id int64 [256]. token_bytes uint8, token_end int64 [tokens]: the tokens before any merge; the first num_special are
    special, an empty one cannot be spelled by bytes. status int64 [2]: [0] tokens so far, written for a caller who watches;
    [1] set to 1 by a caller who wants it to stop.
    Returns int64 [merges, 3]: left id, right id, new id.
    """
    # --- tokens by their bytes, to know when a merge spells one that exists
    num_tokens = token_end.size
    ends = np.zeros(max(vocab_size, num_tokens) + 1, np.int64)
    ends[1 : num_tokens + 1] = token_end
    spelled = np.empty(max(1024, 2 * token_bytes.size, 8 * vocab_size), np.uint8)
    spelled[: token_bytes.size] = token_bytes
    table_size = 16
    while table_size < 3 * ends.size:
        table_size *= 2
    table = np.full(table_size, -1, np.int32)
    for t in range(num_tokens):
        if ends[t + 1] > ends[t]:
            h = _FNV_BASIS
            for k in range(ends[t], ends[t + 1]):
                h = (h ^ np.uint64(spelled[k])) * _FNV_PRIME
            slot = np.int64((h ^ (h >> np.uint64(31))) & np.uint64(table_size - 1))
            while table[slot] >= 0:
                slot = (slot + 1) & (table_size - 1)
            table[slot] = t

    # --- symbols
    total = 0
    start = np.int64(0)
    for w in range(word_end.size):
        if word_end[w] - start > 1:
            total += word_end[w] - start
        start = word_end[w]
    nodes = np.empty((total, 4), np.int32)
    word_of = np.empty(total, np.int32)
    pair_slot = np.full(65536, -1, np.int32)
    room = 1 << 17
    pair_left = np.empty(room, np.int32)
    pair_right = np.empty(room, np.int32)
    pair_count = np.empty(room, np.int64)
    pair_seen = np.empty(room, np.int32)  # positions noted in this step
    pair_pushes = np.empty(room, np.uint8)
    pair_more_left = np.empty(room, np.int32)  # the next pair with the same left symbol
    pair_more_right = np.empty(room, np.int32)
    with_left = np.full(ends.size, -1, np.int32)  # the newest pair with this left symbol
    with_right = np.full(ends.size, -1, np.int32)
    num_pairs = 0
    first_of_word = np.empty(word_end.size, np.int32)
    p = 0
    start = np.int64(0)
    for w in range(word_end.size):
        end = word_end[w]
        first_of_word[w] = p
        if end - start > 1:
            for k in range(start, end):
                nodes[p, _SYMBOL] = byte_id[arena[k]]
                nodes[p, _PREVIOUS] = p - 1 if k > start else -1
                nodes[p, _NEXT] = p + 1 if k + 1 < end else -1
                nodes[p, _PAIR] = -1
                word_of[p] = w
                if k + 1 < end:
                    key = (np.int64(arena[k]) << 8) | np.int64(arena[k + 1])
                    pair = pair_slot[key]
                    if pair < 0:
                        pair = num_pairs
                        pair_slot[key] = pair
                        a, b = byte_id[arena[k]], byte_id[arena[k + 1]]
                        pair_left[pair], pair_right[pair] = a, b
                        pair_count[pair] = 0
                        pair_seen[pair] = 0
                        pair_pushes[pair] = 0
                        pair_more_left[pair], with_left[a] = with_left[a], pair
                        pair_more_right[pair], with_right[b] = with_right[b], pair
                        num_pairs += 1
                    pair_count[pair] += word_count[w]
                    pair_seen[pair] += 1
                    nodes[p, _PAIR] = pair
                p += 1
        start = end

    # --- entries: a pair and a slice of `positions` (ascending). Every merge removes one symbol and notes two positions at
    # most, so three times the symbols is room enough for good; pages never written cost no memory.
    positions = np.empty(3 * total + 1, np.int32)
    positions_used = np.int64(0)
    entry_pair = np.empty(room, np.int32)
    entry_start = np.empty(room, np.int64)
    entry_size = np.empty(room, np.int32)
    num_entries = 0
    heap_count = np.empty(room, np.int64)
    heap_pair = np.empty(room, np.int64)
    heap_entry = np.empty(room, np.int32)
    heap_size = 0
    for pair in range(num_pairs):
        entry_pair[num_entries] = pair
        entry_start[num_entries] = positions_used
        entry_size[num_entries] = 0
        positions_used += pair_seen[pair]
        pair_seen[pair] = 0
        pair_pushes[pair] = 1
        key = (np.int64(pair_left[pair]) << 32) | np.int64(pair_right[pair])
        _push(heap_count, heap_pair, heap_entry, heap_size, pair_count[pair], key, num_entries)
        heap_size += 1
        num_entries += 1
    for q in range(total):
        pair = nodes[q, _PAIR]
        if pair >= 0:
            positions[entry_start[pair] + entry_size[pair]] = q
            entry_size[pair] += 1

    # --- merges
    merges = np.empty((1024, 3), np.int64)
    num_merges = 0
    left_slot = np.full(ends.size, -1, np.int32)  # of this step: index of the pair (symbol, new) ...
    right_slot = np.full(ends.size, -1, np.int32)  # ... and of (new, symbol)
    noted_pair = np.empty(1024, np.int32)
    noted_at = np.empty(1024, np.int32)
    touched = np.empty(1024, np.int32)
    candidates = np.empty(1024, np.int32)
    while num_tokens < vocab_size and heap_size > 0 and status[1] == 0:
        count, key, entry = heap_count[0], heap_pair[0], heap_entry[0]
        pair = entry_pair[entry]
        if count != pair_count[pair] and pair_count[pair] > 0:
            _replace_top(heap_count, heap_pair, heap_entry, heap_size, pair_count[pair], key, entry)
            continue
        heap_size -= 1
        if heap_size:
            _replace_top(
                heap_count,
                heap_pair,
                heap_entry,
                heap_size,
                heap_count[heap_size],
                heap_pair[heap_size],
                heap_entry[heap_size],
            )
        if pair_count[pair] <= 0:
            continue
        if count < min_frequency:
            break
        a, b = pair_left[pair], pair_right[pair]

        # The new token: an id of its own, or the one that already has these bytes.
        size = ends[a + 1] - ends[a] + ends[b + 1] - ends[b]
        bottom = ends[num_tokens]
        while bottom + size > spelled.size:
            spelled = _grown(spelled, bottom)
        at = bottom
        h = _FNV_BASIS
        for part in (a, b):
            for k in range(ends[part], ends[part + 1]):
                spelled[at] = spelled[k]
                h = (h ^ np.uint64(spelled[k])) * _FNV_PRIME
                at += 1
        slot = np.int64((h ^ (h >> np.uint64(31))) & np.uint64(table_size - 1))
        new = np.int64(-1)
        while table[slot] >= 0:
            t = table[slot]
            if ends[t + 1] - ends[t] == size:
                same = True
                for k in range(size):
                    if spelled[ends[t] + k] != spelled[bottom + k]:
                        same = False
                        break
                if same:
                    new = t
                    break
            slot = (slot + 1) & (table_size - 1)
        if 0 <= new < num_special:
            continue
        reused = new >= 0
        if not reused:
            new = num_tokens
            table[slot] = new
            num_tokens += 1
            ends[num_tokens] = at
            status[0] = num_tokens
        if num_merges == merges.shape[0]:
            larger = np.empty((2 * num_merges, 3), np.int64)
            larger[:num_merges] = merges
            merges = larger
        merges[num_merges, 0], merges[num_merges, 1], merges[num_merges, 2] = a, b, new
        num_merges += 1

        # Where to look: the noted positions; or, when the pair was queued more than once, the whole of their words.
        if pair_pushes[pair] == 1:
            num_candidates = np.int64(entry_size[entry])
            while candidates.size < num_candidates:
                candidates = np.empty(2 * candidates.size, np.int32)
            from_positions = positions[entry_start[entry] : entry_start[entry] + num_candidates]
            candidates[:num_candidates] = from_positions
        else:
            num_candidates = np.int64(0)
            last_word = -1
            for i in range(entry_start[entry], entry_start[entry] + entry_size[entry]):
                w = word_of[positions[i]]
                if w == last_word:
                    continue
                last_word = w
                q = first_of_word[w]
                while q >= 0:
                    if num_candidates == candidates.size:
                        candidates = _grown(candidates, num_candidates)
                    candidates[num_candidates] = q
                    num_candidates += 1
                    q = nodes[q, _NEXT]

        if reused:  # the pairs with this symbol that exist already
            q = with_right[new]
            while q >= 0:
                left_slot[pair_left[q]] = q
                q = pair_more_right[q]
            q = with_left[new]
            while q >= 0:
                right_slot[pair_right[q]] = q
                q = pair_more_left[q]

        while noted_pair.size < 2 * num_candidates:
            noted_pair = np.empty(2 * noted_pair.size, np.int32)
            noted_at = np.empty(noted_pair.size, np.int32)
        num_noted = 0
        num_touched = 0
        for i in range(num_candidates):
            q = candidates[i]
            if nodes[q, _SYMBOL] != a:
                continue
            r = nodes[q, _NEXT]
            if r < 0 or nodes[r, _SYMBOL] != b:
                continue
            weight = word_count[word_of[q]]
            after = nodes[r, _NEXT]
            nodes[q, _SYMBOL] = new
            nodes[q, _NEXT] = after
            nodes[r, _SYMBOL] = -1
            for side in range(2):
                if side == 0:
                    where = nodes[q, _PREVIOUS]
                    if where < 0:
                        continue
                    pair_count[nodes[where, _PAIR]] -= weight
                    other = nodes[where, _SYMBOL]
                    formed = left_slot[other]
                else:
                    if after < 0:
                        continue
                    where = q
                    nodes[after, _PREVIOUS] = q
                    pair_count[nodes[r, _PAIR]] -= weight
                    other = nodes[after, _SYMBOL]
                    formed = right_slot[other]
                if formed < 0:
                    formed = num_pairs
                    if num_pairs == pair_left.size:
                        pair_left = _grown(pair_left, num_pairs)
                        pair_right = _grown(pair_right, num_pairs)
                        pair_count = _grown(pair_count, num_pairs)
                        pair_seen = _grown(pair_seen, num_pairs)
                        pair_pushes = _grown(pair_pushes, num_pairs)
                        pair_more_left = _grown(pair_more_left, num_pairs)
                        pair_more_right = _grown(pair_more_right, num_pairs)
                    x, y = (other, new) if side == 0 else (new, other)
                    pair_left[formed], pair_right[formed] = x, y
                    pair_count[formed] = 0
                    pair_seen[formed] = 0
                    pair_pushes[formed] = 0
                    pair_more_left[formed], with_left[x] = with_left[x], formed
                    pair_more_right[formed], with_right[y] = with_right[y], formed
                    num_pairs += 1
                    if y == new:
                        left_slot[x] = formed
                    if x == new:
                        right_slot[y] = formed
                pair_count[formed] += weight
                nodes[where, _PAIR] = formed
                if pair_seen[formed] == 0:
                    if num_touched == touched.size:
                        touched = _grown(touched, num_touched)
                    touched[num_touched] = formed
                    num_touched += 1
                pair_seen[formed] += 1
                noted_pair[num_noted] = formed
                noted_at[num_noted] = where
                num_noted += 1

        # Queue what was formed, each pair with its positions.
        base = num_entries
        while entry_pair.size < base + num_touched:
            entry_pair = _grown(entry_pair, base)
            entry_start = _grown(entry_start, base)
            entry_size = _grown(entry_size, base)
        while heap_count.size < heap_size + num_touched:
            heap_count = _grown(heap_count, heap_size)
            heap_pair = _grown(heap_pair, heap_size)
            heap_entry = _grown(heap_entry, heap_size)
        for i in range(num_touched):
            formed = touched[i]
            entry_pair[num_entries] = formed
            entry_start[num_entries] = positions_used
            entry_size[num_entries] = 0
            positions_used += pair_seen[formed]
            pair_seen[formed] = num_entries
            num_entries += 1
        for i in range(num_noted):
            e = pair_seen[noted_pair[i]]
            positions[entry_start[e] + entry_size[e]] = noted_at[i]
            entry_size[e] += 1
        for i in range(num_touched):
            formed = touched[i]
            if pair_count[formed] > 0:
                pair_pushes[formed] = min(2, pair_pushes[formed] + 1)
                key = (np.int64(pair_left[formed]) << 32) | np.int64(pair_right[formed])
                _push(heap_count, heap_pair, heap_entry, heap_size, pair_count[formed], key, pair_seen[formed])
                heap_size += 1
            pair_seen[formed] = 0
        if reused:
            left_slot[:] = -1
            right_slot[:] = -1
        else:
            for i in range(num_touched):
                left_slot[pair_left[touched[i]]] = -1
                right_slot[pair_right[touched[i]]] = -1
    return merges[:num_merges].copy()
