"""Events as JSON text and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import msgspec

from tunesmith import codec
from tunesmith.events import AnyEvent, Event, Reported

_encode = msgspec.json.Encoder().encode
_decode: Any = msgspec.json.Decoder(AnyEvent).decode
_decode_many: Any = msgspec.json.Decoder(list[AnyEvent]).decode
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


def decode_many(bodies: Sequence[bytes]) -> list[Event]:
    """Return what `decode` returns for each of them, in less time.

    Raises:
        msgspec.MsgspecError: one of the texts is no event.
    """
    text = b",".join(bodies)
    if b'"$' not in text:
        events: list[Event] = _decode_many(b"[" + text + b"]")
        if len(events) == len(bodies):
            return events
    return [decode(body) for body in bodies]


def checksum(seq: int, body: bytes) -> int:
    """Return the CRC-32 of an event's text, begun with its place in the order, which the text does not have."""
    return crc32(body, seq)
