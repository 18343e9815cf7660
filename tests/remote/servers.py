"""Real servers on the loopback, each a process of its own, which may be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__)
USER, PASSWORD = "ann", "p@ss/word-for-tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], Any], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


class Server:
    """A process that listens on a port of its own, the same one whenever it is started."""

    def __init__(self, command: list[str], log: Path, environ: dict[str, str] | None = None) -> None:
        self._command, self._log, self._environ = command, log, environ or {}
        self._process: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, **self._environ}, start_new_session=True
            )
        wait_until(self.answers)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class S3Server(Server):
    """moto's server. What it holds is in its memory, and gone when it is killed."""

    def __init__(self, folder: Path, environ: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        super().__init__(command, folder / "moto.log", environ)

    @property
    def options(self) -> dict[str, Any]:
        return {"key": "test-key-id", "secret": "test-secret", "endpoint_url": self.url}

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/moto-api/data.json", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def make_bucket(self, name: str = "bucket") -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{name}", method="PUT"), timeout=10).close()


class SftpServer(Server):
    """asyncssh's server, with the files of a folder."""

    def __init__(self, folder: Path, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.port, self.root = free_port(), root
        command = [sys.executable, str(HERE), str(self.port), str(root), str(folder / "key")]
        super().__init__(command, folder / "sftp.log")

    @property
    def options(self) -> dict[str, Any]:
        return {"username": USER, "password": PASSWORD, "look_for_keys": False, "allow_agent": False}

    @property
    def url(self) -> str:
        return f"sftp://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def serve_sftp(port: int, root: str, key_file: str) -> None:
    import asyncio

    import asyncssh

    class Host(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    class Folder(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=root.encode())

    async def serve() -> None:
        if not Path(key_file).exists():
            asyncssh.generate_private_key("ssh-ed25519").write_private_key(key_file)
        await asyncssh.create_server(
            Host, "127.0.0.1", port, server_host_keys=[key_file], sftp_factory=Folder, reuse_address=True
        )
        await asyncio.get_running_loop().create_future()

    asyncio.run(serve())


if __name__ == "__main__":
    serve_sftp(int(sys.argv[1]), sys.argv[2], sys.argv[3])
