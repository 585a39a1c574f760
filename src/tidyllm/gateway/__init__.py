"""The gateway: an HTTP server that speaks the OpenAI and Anthropic formats and answers through the named routes."""

from tidyllm.gateway.app import Gateway
from tidyllm.gateway.auth import Authenticator, Caller, MasterKey

__all__ = ["Authenticator", "Caller", "Gateway", "MasterKey"]
