"""Bytes of a Python file as text, and back. It knows encodings and byte order marks, no syntax."""

from __future__ import annotations

import codecs
import io
import tokenize
from dataclasses import dataclass

from tidyllm.migrate.errors import MigrateError

__all__ = ["Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """A text and how it is stored."""

    text: str
    encoding: str
    mark: bytes = b""

    @classmethod
    def decode(cls, data: bytes) -> Source:
        """The text of a file, by its PEP 263 line or byte order mark, else UTF-8.

        :raises MigrateError: it is no text, or not in the encoding that it names.
        """
        if b"\0" in data[:8192]:
            raise MigrateError("it is a binary file.", "Nothing is done with it.")
        mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        except SyntaxError as error:
            raise MigrateError(f"its encoding is unknown: {error}.", "Save it as UTF-8.") from error
        plain = "utf-8" if encoding == "utf-8-sig" else encoding
        try:
            text = data[len(mark) :].decode(plain)
        except (UnicodeDecodeError, LookupError) as error:
            raise MigrateError(f"it is not {plain}: {error}.", "Save it as UTF-8.") from error
        return cls(text, plain, mark)

    def encode(self, text: str) -> bytes:
        """Another text stored in the same way.

        :raises MigrateError: the encoding lacks one of its letters.
        """
        try:
            return self.mark + text.encode(self.encoding)
        except UnicodeEncodeError as error:
            raise MigrateError(f"{self.encoding} lacks a letter of the new text: {error}.") from error
