"""The place that a URL names: what is said of it, and what is not."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from tunesmith.errors import ArgumentError

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(://|::)(?s:(.*))")  # a single letter is a drive, not a protocol
_SECRET: Final = "***"
_LEAST_SECRET: Final = 4  # characters; to strike shorter ones out would make any text unreadable
_KEYS: Final = {"s3": ("key", "secret"), "s3a": ("key", "secret")}  # what a URL's user and password are called
_OPEN: Final = frozenset({"host", "port", "username", "user", "endpoint_url", "region_name", "project", "protocol"})


class RemoteStorage(msgspec.Struct, frozen=True):
    """A folder elsewhere, for ``storage_path=``, where more is to be said than its URL.

    Checkpoints go there straight from the workers. The experiment's database is on this machine, in a folder below
    `local`, and is copied there every `copy_every_s` seconds, and at the end.

    Args:
        url: such as ``"s3://bucket/runs"`` or ``"sftp://user@host/runs"``: any that fsspec knows.
        options: what fsspec's file system of that protocol takes, such as credentials. They are kept nowhere, and
            printed nowhere: give them again to resume.
        local: the folder for what is kept on this machine, by default one of its own for each URL below
            ``~/tunesmith/remote``. The experiment's folder is in it, under the experiment's name.
        copy_every_s: seconds between two copies of the database; longer ones where a copy takes long.
        retry_s: seconds for which a checkpoint is tried again while the server can't be reached. Then its trial fails.
        copy_files: whether the small files in the trials' folders are copied, too.

    Raises:
        ArgumentError: `url` is none, or a number is out of range.

    >>> RemoteStorage("sftp://ann:secret@host/runs")
    RemoteStorage('sftp://ann:***@host/runs')
    """

    url: str
    options: dict[str, Any] = {}
    local: str | os.PathLike[str] | None = None
    copy_every_s: float = 30.0
    retry_s: float = 300.0
    copy_files: bool = True

    def __post_init__(self) -> None:
        if not is_url(self.url):
            raise ArgumentError(f"RemoteStorage needs a URL, such as 's3://bucket/runs'; got {shown(str(self.url))!r}.")
        head, _, rest = self.url.partition("://")
        place = rest.partition("/")[0]
        if "@" not in place and re.search(r":(?!\d*$)", place) and "@" in rest:
            raise ArgumentError(
                f"The password in the URL {head}://... has a '/' in it. Write such characters as %2F, or give the "
                "password by storage_options=."
            )
        for name, value in (("copy_every_s", self.copy_every_s), ("retry_s", self.retry_s)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
                raise ArgumentError(f"{name} must be a number of seconds, 0 or more; got {value!r}.")
        if not isinstance(self.options, dict) or not all(isinstance(key, str) for key in self.options):
            raise ArgumentError("storage_options must be a dict with names as keys, as fsspec takes them.")

    def __repr__(self) -> str:
        return f"RemoteStorage({self.shown!r})"

    @property
    def protocol(self) -> str:
        """The first word of the URL, such as ``"s3"``."""
        found = _URL.match(self.url)
        return found.group(1).lower() if found else ""

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return shown(self.url)

    @property
    def bare(self) -> str:
        """The URL without user and password."""
        return re.sub(r"://[^/]*@", "://", self.url.partition("?")[0]).rstrip("/")

    def at(self, name: str) -> RemoteStorage:
        """Return the folder `name` in this one."""
        return msgspec.structs.replace(self, url=f"{self.url.partition('?')[0].rstrip('/')}/{name}")

    def arguments(self) -> tuple[str, dict[str, Any]]:
        """Return a URL without secrets, and the options for fsspec that have them."""
        found = re.match(r"[^/]*://([^/]*)@", self.url)
        user, _, password = found.group(1).partition(":") if found else ("", "", "")
        names = _KEYS.get(self.protocol, ("username", "password"))
        given = {name: unquote(value) for name, value in zip(names, (user, password), strict=True) if value}
        url = re.sub(r"://[^/]*@", "://", self.url) if found else self.url
        return url, {**given, **self.options}

    def clean(self, text: str) -> str:
        """Strike out of a text what it must not tell."""
        for secret in sorted(_secrets(self.arguments()[1]), key=len, reverse=True):
            text = text.replace(secret, _SECRET)
        return text.replace(self.url, self.shown)

    def folder(self) -> Path:
        """Return the folder on this machine for the experiments in this place."""
        if self.local is not None:
            return Path(self.local).expanduser().absolute()
        words = re.sub(r"[^A-Za-z0-9]+", "-", self.bare).strip("-").lower()[:40].strip("-")
        return Path("~/tunesmith/remote").expanduser() / f"{words}-{sha256(self.bare.encode()).hexdigest()[:8]}"


def is_url(text: object) -> bool:
    """Whether a text names a place by its protocol.

    >>> is_url("s3://bucket/runs"), is_url("~/tunesmith"), is_url("C:/runs")
    (True, False, False)
    """
    return isinstance(text, str) and _URL.match(text) is not None


def shown(url: str) -> str:
    """Return a URL as it may be told: without its password, and without what is behind a question mark.

    >>> shown("sftp://ann:se:c@ret@host:22/runs")
    'sftp://ann:***@host:22/runs'
    """
    return re.sub(r"://([^/:@]*):[^/]*@", rf"://\1:{_SECRET}@", url.partition("?")[0])


def _secrets(options: object, name: str = "") -> set[str]:
    if isinstance(options, dict):
        return set().union(*(_secrets(value, str(key)) for key, value in options.items()))
    if isinstance(options, (list, tuple)):
        return set().union(*(_secrets(value, name) for value in options))
    return {options} if isinstance(options, str) and len(options) >= _LEAST_SECRET and name not in _OPEN else set()
