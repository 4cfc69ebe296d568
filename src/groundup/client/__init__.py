"""Any OpenAI-compatible endpoint as a Generator, completions kept on disk, and the stage that makes data with either."""

from .cache import CachedGenerator
from .config import EndpointConfig
from .endpoint import Endpoint, Spent, open_endpoint

__all__ = ["CachedGenerator", "Endpoint", "EndpointConfig", "Spent", "open_endpoint"]
