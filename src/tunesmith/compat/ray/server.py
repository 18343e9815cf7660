"""Shows the trials of a run to other programs of this machine, stops and adds those that they name: JSON over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from tunesmith.compat.ray.errors import TuneError
from tunesmith.compat.ray.experiment import Experiment
from tunesmith.compat.ray.log import log
from tunesmith.compat.ray.loggers import in_json
from tunesmith.compat.ray.registry import get_trainable_cls
from tunesmith.compat.ray.trial import Trial


class TuneServer:
    """Serves ``/trials`` to this machine alone while it is entered.

    ``GET /trials`` and ``GET /trials/<id>`` show, ``PUT /trials/<id>`` stops at the trial's next result, ``POST
    /trials`` adds ``{"name": ..., "spec": ...}``, which is run after what runs. Nothing is unpickled.

    Args:
        port: of the loopback interface; 0 takes a free one.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._runs: list[Sequence[Trial]] = []
        self._wanted: set[str] = set()  # ids of trials that are to be stopped
        self._added: SimpleQueue[Experiment] = SimpleQueue()
        self._server: ThreadingHTTPServer | None = None

    def watch(self, trials: Sequence[Trial]) -> Callable[[int], bool]:
        """Show the trials of a run, too; return what tells whether one, by its number, was asked to stop."""
        self._runs.append(trials)
        return lambda number: bool(self._wanted) and trials[number].trial_id in self._wanted

    def next_added(self) -> Experiment | None:
        """Return what was added and has not been returned, or None."""
        return None if self._added.empty() else self._added.get()

    @property
    def port(self) -> int:
        """The port it listens at."""
        return self._server.server_address[1] if self._server else self._port

    def __enter__(self) -> TuneServer:
        handler = type("Handler", (_Handler,), {"owner": self})
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        except OSError as error:
            log("ERROR", f"The server can't listen at port {self._port}: {error.strerror}. The run goes on without it.")
            return self
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="tune-server", daemon=True).start()
        log("INFO", f"Starting Tune Server at http://127.0.0.1:{self.port}/trials")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Return the status and the content that answer a request."""
        first, _, trial_id = path.strip("/").partition("/")
        if first != "trials":
            return 404, {"message": f"There is nothing at {path}. Ask for /trials or /trials/<id>."}
        if method == "POST":
            return self._add(body)
        trials = [trial for run in tuple(self._runs) for trial in tuple(run)]
        found = [trial for trial in trials if not trial_id or trial.trial_id == trial_id]
        if trial_id and not found:
            return 404, {"message": f"There is no trial {trial_id}."}
        if method == "PUT":
            if not trial_id:
                return 400, {"message": "Say which trial: PUT /trials/<id>."}
            self._wanted.add(trial_id)
        return 200, {"trials": [_info(trial) for trial in found]}

    def _add(self, body: bytes) -> tuple[int, Any]:
        try:
            given = json.loads(body)
            experiment = Experiment.from_json(given["name"], given["spec"])
            get_trainable_cls(experiment.spec["run"])
        except (ValueError, KeyError, TypeError, TuneError) as error:
            return 400, {"message": f"This can't be added: {type(error).__name__}: {error}"}
        self._added.put(experiment)
        return 201, {"message": f"{experiment.name} is run after what runs."}


class _Handler(BaseHTTPRequestHandler):
    owner: TuneServer

    def do_GET(self) -> None:
        self._reply(*self.owner.answer("GET", self.path))

    def do_PUT(self) -> None:
        self._reply(*self.owner.answer("PUT", self.path))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self._reply(*self.owner.answer("POST", self.path, self.rfile.read(length)))

    def _reply(self, status: int, content: Any) -> None:
        body = json.dumps(content, default=in_json).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


def _info(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.trial_id,
        "trainable_name": trial.trainable_name,
        "config": trial.config,
        "status": trial.status,
        "result": trial.last_result,
    }
