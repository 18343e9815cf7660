"""Events as JSON text and back."""

from __future__ import annotations

from typing import Any

import msgspec

from tunesmith import codec
from tunesmith.events import AnyEvent, Event, Reported

_encode = msgspec.json.Encoder().encode
_decode: Any = msgspec.json.Decoder(AnyEvent).decode
_replace = msgspec.structs.replace


def encode(event: Event) -> bytes:
    """Return the event as JSON.

    JSON has no NaN and no infinity: the encoder writes them as null. As nearly all reports are finite and hold no
    null, only one that does is looked at again and its metrics tagged (see `tunesmith.codec`).
    """
    body = _encode(event)
    if type(event) is Reported and b"null" in body:
        return _encode(_replace(event, metrics=codec.to_plain(event.metrics)))
    return body


def decode(body: bytes) -> Event:
    """Return the event that `encode` was given.

    Raises:
        msgspec.MsgspecError: the text is no event.
    """
    event: Event = _decode(body)
    if type(event) is Reported and b'"$' in body:
        return _replace(event, metrics=codec.from_plain(event.metrics))
    return event
