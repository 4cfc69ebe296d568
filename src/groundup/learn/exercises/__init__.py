"""The exercises: a component to write, and everything that tells right from wrong."""

EXERCISES: dict[str, str] = {
    "0.3": "warmups:SUMMARY",
    "0.5": "warmups:CALCULATOR",
    "0.6": "warmups:KMEANS",
    "0.7": "warmups:AUC",
    "0.8": "warmups:TFIDF",
    "1.1": "networks:AUTOGRAD",
    "1.2": "networks:CROSS_ENTROPY",
    "1.3": "networks:ADAMW",
    "1.3b": "networks:SCHEDULE",
    "1.4": "networks:LAYER_NORM",
    "1.5": "networks:HE",
    "2.1": "language_models:KNESER_NEY",
    "2.1b": "language_models:PERPLEXITY",
    "2.3": "language_models:LSTM",
    "2.4": "language_models:BEAM",
    "2.4b": "language_models:BLEU",
    "3.1": "tokenization:PRE_TOKENIZER",
    "3.2": "tokenization:BPE_TRAIN",
    "3.2b": "tokenization:BPE_ENCODE",
    "5.4": "attention:ATTENTION",
}
"""Id (5.4, 5.4b) -> "module:NAME" below this package; imported when one is asked for."""
