"""Beam search, right."""


def beam_search(next_logprobs, num_beams, max_tokens):
    running, done = [(0.0, [0])], []
    for step in range(max_tokens + 1):
        options = [(total + lp, ids, t) for total, ids in running for t, lp in enumerate(next_logprobs(ids))]
        options.sort(key=lambda option: -option[0])
        going = []
        for rank, (total, ids, t) in enumerate(options[: 2 * num_beams]):
            if t == 1:
                if rank < num_beams:
                    done.append((total / (step + 1), ids[1:]))
            elif len(going) < num_beams:
                going.append((total, [*ids, t]))
        if len(done) >= num_beams or step == max_tokens:
            break
        running = going
    if not done:
        done = [(total / max_tokens, ids[1:]) for total, ids in running]
    return max(done, key=lambda found: found[0])[1]
