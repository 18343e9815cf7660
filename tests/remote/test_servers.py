"""Whole runs whose checkpoints and records are on real servers, which go away, come back, or say no."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunesmith as tune
from tests.remote.population import check_that_one_was_exploited, exploiting
from tests.remote.servers import PASSWORD, S3Server, Server, SftpServer, wait_until
from tunesmith.remote.files import Files

pytest.importorskip("moto", reason="the heavy extra is not installed")
pytest.importorskip("asyncssh", reason="the heavy extra is not installed")
pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("default")]
SCRIPT = Path(__file__).with_name("experiment.py")


class Elsewhere:
    """A server and a place on it of this test's own."""

    def __init__(self, server: Any, url: str) -> None:
        self.server, self.url, self.options = server, url, server.options

    @property
    def storage(self) -> tune.RemoteStorage:
        return tune.RemoteStorage(self.url, self.options)

    def files(self) -> Files:
        return Files(self.storage, retry_s=0)

    def start_again(self) -> None:
        self.server.start()
        if isinstance(self.server, S3Server):
            self.server.make_bucket()

    def is_uploading(self, mb: int) -> bool:
        """Whether a large file is on its way."""
        if isinstance(self.server, SftpServer):
            return any(0 < path.stat().st_size < mb << 20 for path in self.server.root.rglob("weights"))
        with urllib.request.urlopen(f"{self.server.url}/bucket?uploads", timeout=30) as answer:
            return b"<Upload>" in answer.read()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    server.make_bucket()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    folder = tmp_path_factory.mktemp("sftp")
    server = SftpServer(folder, folder / "root")
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["s3", "sftp"])
def elsewhere(request: pytest.FixtureRequest) -> Elsewhere:
    server: Server = request.getfixturevalue(request.param)
    place = "".join(filter(str.isalnum, request.node.name)).lower()
    return Elsewhere(server, f"{'s3://bucket' if request.param == 's3' else server.url}/{place}")


def start(machine: Path, elsewhere: Elsewhere, **settings: Any) -> subprocess.Popen[str]:
    """Run the experiment as on a machine of its own: with another home."""
    machine.mkdir(exist_ok=True)
    given = json.dumps({"url": elsewhere.url, "options": elsewhere.options, **settings})
    environ = {**os.environ, "HOME": str(machine), "AWS_CONFIG_FILE": "/dev/null"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), given], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def outcome(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    """Return what came of a run, and what it said."""
    told, complained = process.communicate(timeout=110)
    assert process.returncode == 0, complained
    return json.loads(told.splitlines()[-1]), told + complained


def folder(machine: Path) -> Path:
    (found,) = (machine / "tunesmith/remote").glob("*/experiment")
    return found


def test_a_run_is_elsewhere_with_all_that_a_person_wants_and_can_be_read_from_there(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    found, told = outcome(start(tmp_path / "one", elsewhere))
    assert found["status"] == ["TERMINATED"] * 2
    assert elsewhere.url in told
    results = tune.load(f"{elsewhere.url}/experiment", elsewhere.options)
    assert [trial.status for trial in results] == ["TERMINATED"] * 2
    checkpoint = results[1].checkpoint
    assert checkpoint is not None
    with checkpoint.as_directory() as directory:
        assert Path(directory, "step").read_text() == "3"
    names = elsewhere.files().sizes("experiment")
    assert sum(name.endswith("/weights") for name in names) == 2  # one a trial is kept, the others are deleted
    assert sum(name.endswith("/stdout") for name in names) == 2
    assert not [name for name in names if ".part-" in name or ".probe" in name]


def test_a_killed_driver_is_resumed_on_another_machine_by_the_url_alone(tmp_path: Path, elsewhere: Elsewhere) -> None:
    process = start(tmp_path / "one", elsewhere, steps=24, pause=0.1)
    log = Files(elsewhere.storage, retry_s=5)

    def is_under_way() -> bool:
        if not log.exists("experiment/experiment.db"):
            return False
        results = tune.load(f"{elsewhere.url}/experiment", elsewhere.options)
        return len(results) == 2 and all(t.last_result and t.last_result["training_iteration"] > 3 for t in results)

    wait_until(is_under_way)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found, _ = outcome(start(tmp_path / "two", elsewhere, steps=24, pause=0.1, resume=True))
    assert found["status"] == ["TERMINATED"] * 2
    assert found["iterations"] == [list(range(1, 25))] * 2
    assert all(begun >= 3 for begun in found["begun"]), "the trials went on from their checkpoints"


def test_a_server_that_goes_away_in_the_middle_of_an_upload_and_comes_back_costs_time_only(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    process = start(tmp_path / "one", elsewhere, mb=96, steps=2, bystander=True, pause=0.05)
    wait_until(lambda: elsewhere.is_uploading(96))
    elsewhere.server.kill()
    place = folder(tmp_path / "one")
    wait_until(lambda: any("step 1" in path.read_text() for path in place.glob("00001*/stdout")))  # this trial goes on
    elsewhere.start_again()
    found, _ = outcome(process)
    assert found["status"] == ["TERMINATED"] * 2
    results = tune.load(f"{elsewhere.url}/experiment", elsewhere.options)
    checkpoint = results[0].checkpoint
    assert checkpoint is not None
    with checkpoint.as_directory() as directory:  # which compares it with its digest
        assert Path(directory, "weights").stat().st_size == 96 << 20


def test_a_server_that_stays_away_fails_the_trial_clearly_and_nothing_half_is_believed(
    tmp_path: Path, elsewhere: Elsewhere
) -> None:
    process = start(tmp_path / "one", elsewhere, mb=96, steps=2, bystander=True, retry_s=3)
    wait_until(lambda: elsewhere.is_uploading(96))
    elsewhere.server.kill()
    try:
        found, told = outcome(process)
    finally:
        elsewhere.start_again()
    assert found["status"] == ["ERROR", "TERMINATED"]
    (error,) = found["errors"]
    assert "weights can't be written" in error
    assert "can't be reached" in error
    assert "was tried for" in error
    assert "does not have all of this run" in told
    # What is on this machine is whole, and the same call brings it there, as far as it can.
    outcome(start(tmp_path / "one", elsewhere, mb=96, steps=2, bystander=True, resume=True))
    results = tune.load(f"{elsewhere.url}/experiment", elsewhere.options)
    assert [trial.status for trial in results] == ["ERROR", "TERMINATED"]
    assert results[0].checkpoint is None
    assert not [name for name in elsewhere.files().sizes("experiment") if name.endswith("weights")]


def test_what_a_server_refuses_is_told_before_the_first_trial(tmp_path: Path, sftp: SftpServer) -> None:
    begun = tmp_path / "begun"

    def train(config: dict[str, Any]) -> dict[str, Any]:
        begun.touch()
        return {"loss": 1}

    def complaint(url: str, **options: Any) -> str:
        storage = tune.RemoteStorage(url, options, local=tmp_path / "local")
        with pytest.raises(tune.StorageError) as caught:
            tune.run(train, {}, storage_path=storage, verbose=0)
        return str(caught.value)

    s3 = S3Server(tmp_path, {"INITIAL_NO_AUTH_ACTION_COUNT": "1"})
    s3.start()
    try:
        s3.make_bucket()
        said = complaint("s3://bucket/runs", **s3.options)
        assert "refuses these credentials" in said
        assert "InvalidAccessKeyId" in said or "Access Key Id" in said
        assert s3.options["secret"] not in said
    finally:
        s3.kill()
    assert "can't be reached" in complaint("s3://bucket/runs", **s3.options)
    right = {**sftp.options, "password": "wrong-password"}
    said = complaint(f"{sftp.url}/runs", **right)
    assert "refuses these credentials" in said
    assert "wrong-password" not in said
    said = complaint(f"sftp://ann:wrong-password@127.0.0.1:{sftp.port}/runs", look_for_keys=False, allow_agent=False)
    assert "ann:***@127.0.0.1" in said
    assert "wrong-password" not in said
    assert not begun.exists()
    assert not (tmp_path / "local").exists()


def test_an_unknown_bucket_is_told_before_the_first_trial(tmp_path: Path, s3: S3Server) -> None:
    storage = tune.RemoteStorage("s3://no-such-bucket/runs", s3.options, local=tmp_path)
    with pytest.raises(tune.StorageError, match=r"no-such-bucket/runs.* is not there"):
        tune.run(lambda config: {"loss": 1}, {}, storage_path=storage, verbose=0)


def test_a_password_in_the_url_is_used_and_kept_nowhere(tmp_path: Path, sftp: SftpServer) -> None:
    url = f"sftp://ann:{PASSWORD.replace('@', '%40').replace('/', '%2F')}@127.0.0.1:{sftp.port}/secretly"
    machine = tmp_path / "one"
    elsewhere = Elsewhere(sftp, url)
    elsewhere.options = {"look_for_keys": False, "allow_agent": False}
    found, told = outcome(start(machine, elsewhere))
    assert found["status"] == ["TERMINATED"] * 2
    assert "ann:***@" in told
    for secret in (PASSWORD, url.split("ann:")[1].split("@")[0]):
        assert secret not in told
        for path in [*machine.rglob("*"), *(sftp.root / "secretly").rglob("*")]:
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_population_exploits_checkpoints_that_are_elsewhere(tmp_path: Path, elsewhere: Elsewhere) -> None:
    storage = tune.RemoteStorage(elsewhere.url, elsewhere.options, local=tmp_path)
    check_that_one_was_exploited(exploiting(storage, name="experiment", executor=tune.LocalExecutor(cpus=2)))


LARGE = """
import json, sys
from pathlib import Path
from tunesmith.remote.storage import RemoteStorage
from tunesmith.trial import CheckpointRef
from tunesmith.worker.checkpoint import Sheet
from tunesmith.worker.remote_checkpoint import RemoteShelf
import msgspec

def peak():  # ru_maxrss would have that of the process that has started this one
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10

url, options, folder, given = json.loads(sys.argv[1])
shelf = RemoteShelf(RemoteStorage(url, options), folder, "trial", 1)
if given is None:
    reference = shelf.keep_copy(f"{folder}/made", Sheet(1, 1.0))
else:
    reference = msgspec.convert(given, CheckpointRef)
    size = Path(shelf.verify(reference).path, "weights").stat().st_size
    assert size > 100 << 20, size
    shelf.close()
print(json.dumps([peak(), msgspec.to_builtins(reference)]))
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "mb"), [("sftp", 1024), ("s3", 192)])
def test_a_large_checkpoint_is_never_in_memory(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, mb: int
) -> None:
    server = request.getfixturevalue(kind)
    url = f"{'s3://bucket' if kind == 's3' else server.url}/large"
    (tmp_path / "made").mkdir()
    with (tmp_path / "made/weights").open("wb") as file:
        file.truncate(mb << 20)  # a hole: it takes no room here

    def work(reference: Any = None) -> tuple[int, Any]:
        given = json.dumps([url, server.options, str(tmp_path), reference])
        done = subprocess.run([sys.executable, "-c", LARGE, given], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        peak, found = json.loads(done.stdout)
        return int(peak), found

    sending, reference = work()
    fetching, _ = work(reference)
    assert reference["size"] > mb << 20
    print(f"{kind}: {mb} MiB, at most {sending} MiB of memory to send and {fetching} MiB to fetch")
    assert max(sending, fetching) < 140, (sending, fetching)  # of which the package for S3 has about 80
    Files(tune.RemoteStorage(url, server.options)).delete("trial")
