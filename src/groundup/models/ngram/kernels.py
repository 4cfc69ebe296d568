"""The loops of n-gram models, compiled by Numba: counting one order, scoring, the distribution after a context.

The arrays are those of `counting.NGramTrie` and `model.NGramModel`. `counting.count_reference` and `model.probability` say the
same in plain Python.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
from __future__ import annotations

import numpy as np
from numba import njit

DIGIT_BITS = 11
"""Of the radix sort: 2,048 counters stay in the first-level cache."""


@njit(nogil=True, cache=True)
def next_order(text, starts, before, length, units):
    """Count the n-grams of `length` from those one shorter.

    text [T] int32; starts [T] int32: where each unit's sentence begins; before [T] int32: number of the (length - 1)-gram that
    ends at each place, among its own order; units: V + 1. Returns (the same [T] of this order, and per n-gram: the numbers of
    its first length - 1 units, of its last one, of its last length - 1, its count). Places too near a beginning have no number.
    """
    total = 0
    largest = np.uint64(0)
    keys = np.empty(text.size, np.uint64)
    places = np.empty(text.size, np.int32)
    for i in range(length - 1, text.size):
        if i - starts[i] >= length - 1:
            key = np.uint64(before[i - 1]) * np.uint64(units) + np.uint64(text[i])
            keys[total] = key
            places[total] = i
            total += 1
            largest = max(largest, key)
    keys, places = radix_sort(keys[:total], places[:total], largest)
    ids = np.zeros(text.size, np.int32)
    parent = np.empty(total, np.int32)
    word = np.empty(total, np.int32)
    suffix = np.empty(total, np.int32)
    count = np.zeros(total, np.int64)
    made = -1
    for i in range(total):
        if i == 0 or keys[i] != keys[i - 1]:
            made += 1
            parent[made] = keys[i] // np.uint64(units)
            word[made] = keys[i] % np.uint64(units)
            suffix[made] = before[places[i]]
        count[made] += 1
        ids[places[i]] = made
    made += 1
    return ids, parent[:made].copy(), word[:made].copy(), suffix[:made].copy(), count[:made].copy()


@njit(nogil=True, cache=True)
def radix_sort(keys, places, largest):
    """Both by ascending key, stable: least significant digit first."""
    other_keys, other_places = np.empty_like(keys), np.empty_like(places)
    ends = np.empty(1 << DIGIT_BITS, np.int64)
    mask = np.uint64((1 << DIGIT_BITS) - 1)
    shift = np.uint64(0)
    while largest >> shift:
        ends[:] = 0
        for i in range(keys.size):
            ends[(keys[i] >> shift) & mask] += 1
        total = 0
        for digit in range(ends.size):
            total += ends[digit]
            ends[digit] = total - ends[digit]
        for i in range(keys.size):
            digit = (keys[i] >> shift) & mask
            other_keys[ends[digit]] = keys[i]
            other_places[ends[digit]] = places[i]
            ends[digit] += 1
        keys, other_keys = other_keys, keys
        places, other_places = other_places, places
        shift += np.uint64(DIGIT_BITS)
    return keys, places


@njit(nogil=True, cache=True)
def child_of(node, unit, word, first_child):
    """The child of `node` by `unit`, or -1. Every unit is a child of the root."""
    if node == 0:
        return np.int64(unit) + 1
    low, high = np.int64(first_child[node]), np.int64(first_child[node + 1])
    while low < high:
        middle = (low + high) >> 1
        if word[middle] < unit:
            low = middle + 1
        else:
            high = middle
    if low < first_child[node + 1] and word[low] == unit:
        return low
    return np.int64(-1)


@njit(nogil=True, cache=True)
def score(ids, state, word, suffix, first_child, logprob, backoff, longest, end_of_line, start, out):
    """Write log10 p of each unit after `state` and those before it into out [T] float64; the state after the last.

    longest: the first node of the highest order, which is no context. end_of_line: after this unit the state is `start`; -1: none.
    """
    for i in range(ids.size):
        node = np.int64(state)
        total = 0.0
        found = child_of(node, ids[i], word, first_child)
        while found < 0:
            total += backoff[node]
            node = np.int64(suffix[node])
            found = child_of(node, ids[i], word, first_child)
        out[i] = total + logprob[found]
        state = np.int64(suffix[found]) if found >= longest else found
        if ids[i] == end_of_line:
            state = start
    return state


@njit(nogil=True, cache=True)
def spread(state, word, suffix, first_child, logprob, backoff, out):
    """Write the probability of every unit after `state` into out [V] float64."""
    path = np.empty(16, np.int64)
    depth = 0
    node = np.int64(state)
    while node != 0:
        path[depth] = node
        depth += 1
        node = np.int64(suffix[node])
    for unit in range(out.size):
        out[unit] = 10.0 ** np.float64(logprob[unit + 1])
    for level in range(depth - 1, -1, -1):
        node = path[level]
        weight = 10.0 ** np.float64(backoff[node])
        for unit in range(out.size):
            out[unit] *= weight
        for child in range(first_child[node], first_child[node + 1]):
            out[word[child]] = 10.0 ** np.float64(logprob[child])
