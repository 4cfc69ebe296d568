"""The studio: a local web page over the roadmap, the runs and any model. It reads the artifacts that the command line reads."""

from .app import Studio, StudioConfig, create_studio

__all__ = ["Studio", "StudioConfig", "create_studio"]
