"""What the packages of protocols are told unless the user says otherwise."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final

SILENCE_S: Final = 60.0  # a server that takes nothing, or says nothing, for so long is away
_TCP_OPTIONS: Final = {  # milliseconds; seconds of quiet, seconds between questions, and how many of these
    "TCP_USER_TIMEOUT": int(SILENCE_S * 1000), "TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3,
}  # fmt: skip


def usual_options(protocol: str) -> dict[str, Any]:
    """Return options for fsspec's file system of a protocol."""
    return _for_s3() if protocol in ("s3", "s3a") else {}


def prepare(fs: Any, protocol: str) -> None:
    """Make a file system notice a server that is silent, where an option can't."""
    if protocol in ("s3", "s3a"):
        # To a request that asks whether it may send its body no answer is waited for with a limit, in aiohttp.
        with suppress(Exception):  # what is wrong here is told better by the first call
            fs.connect()
            fs.s3.meta.events.register("before-send.s3", _send_at_once)
    with suppress(AttributeError):  # of paramiko
        fs.ftp.get_channel().settimeout(SILENCE_S)


def _send_at_once(request: Any, **_: Any) -> None:
    request.headers.pop("Expect", None)


def _for_s3() -> dict[str, Any]:
    # botocore would try each call five times, and s3fs each of these five times, before anybody learns of it.
    config: dict[str, Any] = {"retries": {"total_max_attempts": 1}}
    waiting = {"connector_args": {"socket_factory": _impatient_socket}}
    try:
        from aiobotocore.config import AioConfig

        AioConfig(**waiting)
    except Exception:  # noqa: BLE001 - it is not installed, or is too old to know it
        waiting = {}
    return {"config_kwargs": config | waiting}


def _impatient_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket on which a machine that is gone is noticed: aiohttp itself waits for ever to send.

    Source: tcp(7), TCP_USER_TIMEOUT and the keepalive options.
    """
    made = socket.socket(*address[:3])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        if hasattr(socket, name):  # not on every system
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
