from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def _config(**options: int) -> dict[str, int]:
    return options


tf = SimpleNamespace(ConfigProto=_config, Session=lambda config: config)
sessions: list[Any] = []


def set_session(session: Any) -> None:
    sessions.append(session)


def image_data_format() -> str:
    return "channels_last"
