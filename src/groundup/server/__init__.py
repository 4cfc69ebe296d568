"""An OpenAI-compatible server and a chat page over any Generator. Nothing here knows a model or imports torch."""

from .app import create_app
from .config import ServerConfig, read_api_key
from .run import ServerThread, serve

__all__ = ["ServerConfig", "ServerThread", "create_app", "read_api_key", "serve"]
