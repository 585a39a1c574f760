"""What the engine itself saves, as JSON: the arguments of runs and their outcome. Never a pickle."""

from __future__ import annotations

from typing import Any

import msgspec
from dbos import Serializer

from tidyllm.durable.codec import encode_error

__all__ = ["Ended", "JsonSerializer"]


class Ended(Exception):
    """A run's failure on its way into the engine's table, written down already."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class JsonSerializer(Serializer):
    """JSON by msgspec; errors by class and fields."""

    def name(self) -> str:
        return "tidyllm_json"

    def serialize(self, data: Any) -> str:
        if isinstance(data, Ended):
            return data.text
        if isinstance(data, BaseException):
            return encode_error(data)
        return msgspec.json.encode(data).decode()

    def deserialize(self, serialized_data: str) -> Any:
        return msgspec.json.decode(serialized_data)
