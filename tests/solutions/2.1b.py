"""Perplexity and bits per byte, right."""

import math


def measures(logprobs, num_bytes):
    flat = [value for text in logprobs for value in text]
    nats = -sum(flat)
    return {"perplexity": math.exp(nats / len(flat)), "bits_per_byte": nats / math.log(2) / num_bytes}
