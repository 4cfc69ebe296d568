"""GPT-2's pre-tokenizer, right."""

import unicodedata

CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


def kind(c):
    if c.isspace():
        return " "
    first = unicodedata.category(c)[0]
    return first if first in "LN" else "other"


def pieces(text):
    made, i = [], 0
    while i < len(text):
        size = next((len(c) for c in CONTRACTIONS if text.startswith(c, i)), 0)
        if not size:
            start = i + 1 if text[i] == " " and i + 1 < len(text) and kind(text[i + 1]) != " " else i
            what, end = kind(text[start]), start
            while end < len(text) and kind(text[end]) == what:
                end += 1
            if what == " " and end < len(text) and end - i > 1:
                end -= 1
            size = end - i
        made.append(text[i : i + size])
        i += size
    return made
