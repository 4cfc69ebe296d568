"""Published families as data: config.json to DecoderConfig and back, and which tensor of theirs is which of ours."""

from .family import Entry, Family, check_expressible, family_named, family_of, read_config, write_config

__all__ = ["Entry", "Family", "check_expressible", "family_named", "family_of", "read_config", "write_config"]
