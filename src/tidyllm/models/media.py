"""Pictures and documents on their way into a body: what every format asks of them. It knows no format's shape."""

from __future__ import annotations

from tidyllm.errors import BadRequest
from tidyllm.models.data_url import image_type
from tidyllm.models.message import File, Image

__all__ = ["empty", "media_type_of"]


def media_type_of(data: bytes, media_type: str | None, at: str) -> str:
    """The media type of an image given as bytes, found in them where nobody said it.

    :raises BadRequest: it is of a kind that no model takes, and nobody said which.
    """
    found = media_type or image_type(data)
    if found is None:
        field = f"{at}.media_type"
        raise BadRequest(
            f"{field} is missing: an image given as bytes needs one, such as image/png.", field=field
        )
    return found


def empty(part: Image | File, at: str) -> BadRequest:
    """The error for an image or a file that holds nothing."""
    kind = "an image" if isinstance(part, Image) else "a file"
    return BadRequest(f"{at} is {kind} without url, data or file_id.", field=at)
