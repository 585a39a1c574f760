"""A scripted model behind a real socket, in the wire formats of OpenAI and Ollama."""

from __future__ import annotations

from tidyllm.testing.model_server.asked import Asked
from tidyllm.testing.model_server.log import read_log
from tidyllm.testing.model_server.server import ModelServer

__all__ = ["Asked", "ModelServer", "read_log"]
