"""The exercises: a component to write, and everything that tells right from wrong."""

EXERCISES: dict[str, str] = {
    "5.4": "attention:ATTENTION",
}
"""Id (5.4, 5.4b) -> "module:NAME" below this package; imported when one is asked for."""
