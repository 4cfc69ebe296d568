"""The merge loop of BPE training, compiled by Numba. `merge_state.MergeState` owns the arrays and grows them.

The words are one array of symbols linked to their neighbours; every pair of neighbouring symbol ids has an index, a count, and
a list of the positions where it was seen. The most frequent pair comes off a heap whose stale entries are put back with their
true count when they surface, and only the positions of that pair are visited: the work is in proportion to the number of merges
applied, not to the text, and a word of a megabyte costs no more per merge than a short one.

Which pair is next, and every tie, is as in Hugging Face `tokenizers` (BpeTrainer): highest count, then the smaller left id, then
the smaller right id. `reference.train` says the same in plain Python and a test holds the two equal. Two things never happen, and
are not provided for. A merge never spells a token that exists: merges apply everywhere from left to right, so a stretch of bytes
between two token borders is cut in the same way wherever it stands, and one string has one last merge. Hence a pair, once
merged or queued, is never formed again by a later merge, and each pair has one list of positions for good.
Departure: a merge that would spell a special token is left out (there the special token becomes an ordinary one).

Shapes (S symbols, P pairs, V tokens):
  nodes int32 [S, 4]: symbol id (-1 once merged away), previous and next position (-1 at the ends of a word), pair that starts here
  word_of int32 [S]; word_count int64 [words]
  pairs int32 [P, 3]: left id, right id, number of positions; pair_count int64 [P]
  pair_start int64 [P]: where its positions begin in positions int32 [3 S], ascending
  heap int64 [P, 3]: count, left << 32 | right, pair; a 4-ary heap, the next pair on top
  beside int32 [V, 2]: scratch, all -1 between merges: the pair (symbol, new) and the pair (new, symbol)
  spelled uint8, token_end int64 [V + 1]: the bytes of every token
Assigning slices or whole arrays is written out as loops: it costs seconds of compilation otherwise.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, assignment"
from __future__ import annotations

import numpy as np
from numba import njit

SYMBOL, PREVIOUS, NEXT, PAIR = 0, 1, 2, 3
LEFT, RIGHT, SIZE = 0, 1, 2
NUM_TOKENS, NUM_PAIRS, HEAP_SIZE, POSITIONS_USED, NUM_MERGES, WANTED_PAIRS, WANTED_BYTES = range(7)
AGAIN, DONE, FULL = 0, 1, 2


@njit("void(int64[:, ::1], int64, int64, int64, int64)", nogil=True, cache=True)
def _push(heap, size, count, key, pair):
    """Add to a heap of `size` pairs."""
    i = size
    while i > 0:
        up = (i - 1) >> 2
        if count < heap[up, 0] or (count == heap[up, 0] and key >= heap[up, 1]):
            break
        for k in range(3):
            heap[i, k] = heap[up, k]
        i = up
    heap[i, 0], heap[i, 1], heap[i, 2] = count, key, pair


@njit("void(int64[:, ::1], int64, int64, int64, int64)", nogil=True, cache=True)
def _replace_top(heap, size, count, key, pair):
    """Put a pair in the place of the top of a heap of `size` pairs."""
    i = 0
    while True:
        child = 4 * i + 1
        if child >= size:
            break
        best = child
        for other in range(child + 1, min(child + 4, size)):
            if heap[other, 0] > heap[best, 0] or (heap[other, 0] == heap[best, 0] and heap[other, 1] < heap[best, 1]):
                best = other
        if heap[best, 0] < count or (heap[best, 0] == count and heap[best, 1] >= key):
            break
        for k in range(3):
            heap[i, k] = heap[best, k]
        i = best
    heap[i, 0], heap[i, 1], heap[i, 2] = count, key, pair


@njit(nogil=True, cache=True)
def place_words(
    arena, word_end, word_count, byte_id, state, nodes, word_of, pairs, pair_count, pair_start, positions, heap
):  # fmt: skip
    """Lay the words out as symbols, and queue every pair of neighbouring bytes with its positions."""
    pair_of = np.empty(65536, np.int64)
    for key in range(65536):
        pair_of[key] = -1
    num_pairs = 0
    p = 0
    start = np.int64(0)
    for w in range(word_end.size):
        end = word_end[w]
        for k in range(start, end if end - start > 1 else start):
            nodes[p, SYMBOL] = byte_id[arena[k]]
            nodes[p, PREVIOUS] = p - 1 if k > start else -1
            nodes[p, NEXT] = p + 1 if k + 1 < end else -1
            nodes[p, PAIR] = -1
            word_of[p] = w
            if k + 1 < end:
                key = (np.int64(arena[k]) << 8) | np.int64(arena[k + 1])
                pair = pair_of[key]
                if pair < 0:
                    pair = pair_of[key] = num_pairs
                    num_pairs += 1
                    pairs[pair, LEFT], pairs[pair, RIGHT] = byte_id[arena[k]], byte_id[arena[k + 1]]
                    pairs[pair, SIZE] = 0
                    pair_count[pair] = 0
                pair_count[pair] += word_count[w]
                pairs[pair, SIZE] += 1
                nodes[p, PAIR] = pair
            p += 1
        start = end
    used = np.int64(0)
    for pair in range(num_pairs):
        pair_start[pair] = used
        used += pairs[pair, SIZE]
        pairs[pair, SIZE] = 0
        _push(heap, pair, pair_count[pair], (np.int64(pairs[pair, LEFT]) << 32) | pairs[pair, RIGHT], pair)
    for q in range(p):
        pair = np.int64(nodes[q, PAIR])
        if pair >= 0:
            positions[pair_start[pair] + pairs[pair, SIZE]] = q
            pairs[pair, SIZE] += 1
    state[NUM_PAIRS] = state[HEAP_SIZE] = num_pairs
    state[POSITIONS_USED] = used


@njit("boolean(uint8[::1], int64[::1], int64, int64, int64)", nogil=True, cache=True)
def _spells_one(spelled, token_end, num_special, start, end):
    """Whether spelled[start:end] are the bytes of a special token."""
    for token in range(num_special):
        at = token_end[token]
        if token_end[token + 1] - at == end - start:
            k = 0
            while k < end - start and spelled[at + k] == spelled[start + k]:
                k += 1
            if k == end - start:
                return True
    return False


@njit(nogil=True, cache=True)
def apply_merges(
    most, vocab_size, num_special, min_frequency, state, merges, nodes, word_of, word_count,
    pairs, pair_count, pair_start, positions, heap, beside, spelled, token_end, noted,
):  # fmt: skip
    """Up to `most` merges, into merges int64 [merges, 2] (left id, right id) at state[NUM_MERGES]; each makes the next id.

    Returns AGAIN, DONE (the vocabulary is full or no pair is left), or FULL: an array must grow first, nothing is half done;
    state[WANTED_PAIRS] and state[WANTED_BYTES] say by how much. noted int32 [2 S, 2] is scratch.
    """
    num_tokens, num_pairs, heap_size = state[NUM_TOKENS], state[NUM_PAIRS], state[HEAP_SIZE]
    used, num_merges = state[POSITIONS_USED], state[NUM_MERGES]
    stop_at = min(num_merges + most, merges.shape[0])
    outcome = AGAIN
    while num_merges < stop_at:
        if num_tokens >= vocab_size or heap_size == 0 or heap[0, 0] < min_frequency:
            outcome = DONE
            break
        pair = heap[0, 2]
        if heap[0, 0] != pair_count[pair] and pair_count[pair] > 0:
            _replace_top(heap, heap_size, pair_count[pair], heap[0, 1], pair)
            continue
        a, b = np.int64(pairs[pair, LEFT]), np.int64(pairs[pair, RIGHT])
        size = token_end[a + 1] - token_end[a] + token_end[b + 1] - token_end[b]
        bottom = token_end[num_tokens]
        room = min(2 * np.int64(pairs[pair, SIZE]), 2 * num_tokens + 2)
        if num_pairs + room > pairs.shape[0] or heap_size + room > heap.shape[0] or bottom + size > spelled.size:
            state[WANTED_PAIRS], state[WANTED_BYTES] = room, size
            outcome = FULL
            break
        heap_size -= 1
        if heap_size:
            _replace_top(heap, heap_size, heap[heap_size, 0], heap[heap_size, 1], heap[heap_size, 2])
        if pair_count[pair] <= 0:
            continue
        at = bottom
        for part in (a, b):
            for k in range(token_end[part], token_end[part + 1]):
                spelled[at] = spelled[k]
                at += 1
        if _spells_one(spelled, token_end, num_special, bottom, at):
            continue
        new = num_tokens
        num_tokens += 1
        token_end[num_tokens] = at
        merges[num_merges, 0], merges[num_merges, 1] = a, b
        num_merges += 1

        num_noted = 0
        first_formed = num_pairs
        for i in range(pair_start[pair], pair_start[pair] + pairs[pair, SIZE]):
            q = np.int64(positions[i])
            r = np.int64(nodes[q, NEXT])
            if nodes[q, SYMBOL] != a or r < 0 or nodes[r, SYMBOL] != b:
                continue
            weight = word_count[word_of[q]]
            after = np.int64(nodes[r, NEXT])
            nodes[q, SYMBOL] = new
            nodes[q, NEXT] = after
            nodes[r, SYMBOL] = -1
            for side in range(2):  # the pair with the symbol before, then with the one after
                if side == 0:
                    where = np.int64(nodes[q, PREVIOUS])
                    if where < 0:
                        continue
                    broken = np.int64(nodes[where, PAIR])
                    other = np.int64(nodes[where, SYMBOL])
                else:
                    where = q
                    if after < 0:
                        continue
                    nodes[after, PREVIOUS] = q
                    broken = np.int64(nodes[r, PAIR])
                    other = np.int64(nodes[after, SYMBOL])
                pair_count[broken] -= weight
                formed = np.int64(beside[other, side])
                if formed < 0:
                    formed = num_pairs
                    num_pairs += 1
                    pairs[formed, LEFT], pairs[formed, RIGHT] = (other, new) if side == 0 else (new, other)
                    pairs[formed, SIZE] = 0
                    pair_count[formed] = 0
                    beside[other, side] = formed
                    if other == new:
                        beside[other, 1 - side] = formed
                pairs[formed, SIZE] += 1
                pair_count[formed] += weight
                nodes[where, PAIR] = formed
                noted[num_noted, 0], noted[num_noted, 1] = formed, where
                num_noted += 1

        # Queue what was formed, each pair with its positions.
        for formed in range(first_formed, num_pairs):
            pair_start[formed] = used
            used += pairs[formed, SIZE]
            pairs[formed, SIZE] = 0
            beside[pairs[formed, LEFT], 0] = -1
            beside[pairs[formed, RIGHT], 1] = -1
            if pair_count[formed] > 0:
                key = (np.int64(pairs[formed, LEFT]) << 32) | pairs[formed, RIGHT]
                _push(heap, heap_size, pair_count[formed], key, formed)
                heap_size += 1
        for i in range(num_noted):
            formed = np.int64(noted[i, 0])
            positions[pair_start[formed] + pairs[formed, SIZE]] = noted[i, 1]
            pairs[formed, SIZE] += 1
    state[NUM_TOKENS], state[NUM_PAIRS], state[HEAP_SIZE] = num_tokens, num_pairs, heap_size
    state[POSITIONS_USED], state[NUM_MERGES] = used, num_merges
    return outcome
