"""Files below a URL, over fsspec's own file systems, and over one that fails as servers do."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

import tunesmith as tune
from tunesmith.remote import usual
from tunesmith.remote.files import Files
from tunesmith.remote.storage import RemoteStorage


class Flaky(LocalFileSystem):
    """A disk that raises, in writing, what it is told to: an error a file that is opened, None for none."""

    protocol = "flaky"
    cachable = False
    errors: list[BaseException | None] = []
    made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        type(self).made += 1

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return LocalFileSystem._strip_protocol(str(path).removeprefix("flaky://"))

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        file = super()._open(path, mode, **kwargs)
        error = self.errors.pop(0) if self.errors else None
        if error is None:
            return file
        taken = []

        def write(data: bytes) -> int:
            taken.append(data)
            if len(taken) > 1:
                raise error
            return int(file.f.write(data))

        def read(size: int = -1) -> bytes:
            raise error

        file.write, file.read = write, read
        return file


fsspec.register_implementation("flaky", Flaky, clobber=True)


@pytest.fixture
def errors() -> Iterator[list[BaseException | None]]:
    Flaky.errors, Flaky.made = [], 0
    yield Flaky.errors
    Flaky.errors = []


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(tmp_path: Path, clock: Clock) -> Files:
    (tmp_path / "there").mkdir()
    storage = RemoteStorage(f"flaky://{tmp_path}/there", {}, retry_s=60)
    return Files(storage, sleep=clock.sleep, clock=clock)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 10_000)
    return path


@pytest.mark.parametrize("url", ["file://{tmp}/there", "memory://{tmp}/there"])
def test_files_go_there_and_come_back(tmp_path: Path, large: Path, url: str) -> None:
    files = Files(RemoteStorage(url.format(tmp=tmp_path)), retry_s=0)
    assert (files.sizes(), files.names(), files.exists("a"), files.read("a")) == ({}, [], False, None)
    size, digest = files.upload(large, "deep/er/large", sha256(b"before"))
    assert size == 2_560_000
    assert digest.digest() == sha256(b"before" + large.read_bytes()).digest()
    files.write("deep/note", b"old")
    files.write("deep/note", b"new!")
    assert files.read("deep/note") == b"new!"
    assert files.sizes() == {"deep/er/large": 2_560_000, "deep/note": 4}
    assert files.sizes("deep/er") == {"large": 2_560_000}
    assert files.names("deep") == ["er", "note"]
    back = files.download("deep/er/large", tmp_path / "back", sha256(b"before"))
    assert back.digest() == digest.digest()
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    with pytest.raises(FileNotFoundError):
        files.download("nothing", tmp_path / "nothing")
    files.delete("deep/er")
    files.delete("deep/er")
    files.put("deep/what[1]?/er/x", b"x")
    files.put("deep/what1x/er/x", b"x")
    files.delete("deep/what[1]?")
    files.delete("deep/what[1]?")
    assert files.names("deep") == ["note", "what1x"]
    files.probe()
    assert files.names() == ["deep"]


def test_a_server_that_was_away_is_tried_again_over_a_new_connection(
    files: Files, clock: Clock, large: Path, errors: list[BaseException | None], tmp_path: Path
) -> None:
    errors += [ConnectionResetError("gone"), TimeoutError("still gone"), None]
    _, digest = files.upload(large, "x", sha256())
    assert clock.pauses == [0.5, 1.0]
    assert Flaky.made == 3
    assert digest.digest() == sha256(large.read_bytes()).digest()  # of what has arrived, not of all attempts
    assert (tmp_path / "there/x").read_bytes() == large.read_bytes()


def test_a_server_that_stays_away_is_given_up_with_what_was_tried(
    files: Files, clock: Clock, large: Path, errors: list[BaseException | None]
) -> None:
    errors += [OSError(errno.EPIPE, "broken")] * 50
    with pytest.raises(tune.StorageError, match=r"x can't be written: flaky.*can't be reached.* for \d+ s.*broken"):
        files.upload(large, "x")
    assert 30 < clock.now <= 60
    assert max(clock.pauses) == 15


@pytest.mark.parametrize("error", [PermissionError("no"), ValueError("what?"), NotImplementedError("never")])
def test_what_will_not_get_better_is_not_tried_again(
    files: Files, clock: Clock, large: Path, errors: list[BaseException | None], error: Exception
) -> None:
    errors.append(error)
    with pytest.raises(tune.StorageError, match=r"refuses these credentials|can't be used so") as caught:
        files.upload(large, "x")
    assert caught.value.__cause__ is error
    assert clock.pauses == []


def test_what_this_machine_lacks_is_not_blamed_on_the_server(files: Files, clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.upload(tmp_path / "nothing", "x")
    files.write("x", b"x" * 100)
    with pytest.raises(tune.StorageError, match=r"/dev/full can't be written: .*No space left"):
        files.download("x", Path("/dev/full"))
    assert clock.pauses == []


def test_what_is_missing_where_it_is_to_be_written_is_tried_for_a_while(
    files: Files, clock: Clock, large: Path, errors: list[BaseException | None]
) -> None:
    errors += [FileNotFoundError("the bucket")] * 50
    with pytest.raises(tune.StorageError, match=r"is not there.*must exist"):
        files.upload(large, "x")
    assert 5 < clock.now <= 30


def test_no_error_tells_a_secret_nor_has_a_cause_that_does(
    tmp_path: Path, large: Path, errors: list[BaseException | None]
) -> None:
    errors.append(PermissionError("hunter22 is wrong"))
    files = Files(RemoteStorage(f"flaky://{tmp_path}", {"auto_mkdir": False, "secret": "hunter22"}), retry_s=0)
    with pytest.raises(tune.StorageError) as caught:
        files.upload(large, "x")
    assert "*** is wrong" in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_changes_while_it_is_sent_is_not_sent_as_if_it_were_whole(
    files: Files, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def grow(self: Path, *args: Any) -> Any:
        file = opened(self, *args)
        if self == large:
            with opened(self, "ab") as more:
                monkeypatch.setattr(Path, "open", opened)
                file.peek()
                status = __import__("os").fstat(file.fileno())
                more.write(b"x")
                monkeypatch.setattr("os.fstat", lambda fd: status)
        return file

    monkeypatch.setattr(Path, "open", grow)
    with pytest.raises(tune.StorageError, match="changed while it was copied"):
        files.upload(large, "x")


def test_who_reads_while_a_file_is_replaced_finds_the_old_one(
    files: Files, large: Path, errors: list[BaseException | None], tmp_path: Path
) -> None:
    files.write("state", b"old")
    errors += [PermissionError("died here")]
    with pytest.raises(tune.StorageError):
        files.replace(large, "state")
    assert (tmp_path / "there/state").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("s3://b/x", "s3fs", "s3"), ("gs://b/x", "gcsfs", "gs"), ("sftp://h/x", "paramiko", "sftp"),
     ("file:///x", "fsspec", "remote"), ("s3://b/x", "fsspec", "s3"), ("abfs://c/x", "adlfs", "remote")],
)  # fmt: skip
def test_a_missing_package_is_named_by_the_extra_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, url.partition(":")[0], raising=False)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.sftp", raising=False)
    for name in [package, *(name for name in sys.modules if name.partition(".")[0] == package)]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(tune.MissingPackageError, match=rf'pip install "tunesmith\[{extra}\]"'):
        Files(RemoteStorage(url), retry_s=0).probe()


def test_a_machine_that_is_gone_is_noticed_by_its_socket() -> None:
    with usual._impatient_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    assert usual.usual_options("sftp") == {}
    assert usual.usual_options("s3")["config_kwargs"]["retries"] == {"total_max_attempts": 1}


def test_a_protocol_that_nobody_knows_is_told(tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match="no protocol 'carrier-pigeon'"):
        Files(RemoteStorage("carrier-pigeon://roof/x"), retry_s=0).probe()
