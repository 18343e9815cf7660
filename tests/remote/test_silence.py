"""A server that takes connections and then says nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import tunesmith as tune
from tunesmith.remote.files import Files
from tunesmith.remote.storage import RemoteStorage

pytestmark = pytest.mark.heavy


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that reads what it is sent, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        taken: list[socket.socket] = []

        def read(one: socket.socket) -> None:
            with suppress(OSError):
                while one.recv(1 << 16):
                    pass

        def accept() -> None:
            with suppress(OSError):
                while True:
                    one, _ = server.accept()
                    taken.append(one)
                    threads.submit(read, one)

        threads.submit(accept)
        yield int(server.getsockname()[1])
        for one in (server, *taken):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.mark.timeout(100)
@pytest.mark.parametrize("size", [1_000, 20_000_000], ids=["small", "in parts"])
def test_an_s3_server_that_answers_nothing_is_given_up(tmp_path: Path, silent: int, size: int) -> None:
    pytest.importorskip("s3fs")
    (tmp_path / "weights").write_bytes(bytes(size))
    options = {
        "key": "k", "secret": "s",
        "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{silent}", "region_name": "us-east-1"},
        "config_kwargs": {"read_timeout": 1, "retries": {"total_max_attempts": 1}},
    }  # fmt: skip
    files = Files(RemoteStorage("s3://bucket/x", options), retry_s=0)
    with pytest.raises(tune.StorageError, match=r"[Tt]imeout"):
        files.upload(tmp_path / "weights", "weights")
