"""n-gram language models: counts in a trie, smoothing, compiled scoring, ARPA files. Nothing here imports torch."""
