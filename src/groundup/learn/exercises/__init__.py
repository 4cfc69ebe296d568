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
    "5.4": "attention:ATTENTION",
}
"""Id (5.4, 5.4b) -> "module:NAME" below this package; imported when one is asked for."""
