"""From any source of text to token shards and instruction pairs: sources, document steps, stages, cards. No torch."""
