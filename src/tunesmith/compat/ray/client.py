"""Asks the server of a run."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tunesmith.compat.ray.errors import TuneError


class TuneClient:
    """Shows and stops the trials of a run that was started with ``with_server=True``, on this machine.

    Args:
        tune_address: such as ``localhost:4321``, or the host alone.
        port_forward: the port, if the address has none.
    """

    def __init__(self, tune_address: str = "localhost", port_forward: int = 4321) -> None:
        self._address = tune_address if ":" in tune_address else f"{tune_address}:{port_forward}"
        self._path = f"http://{self._address}/trials"

    def get_all_trials(self) -> dict[str, Any]:
        """Return ``{"trials": [...]}``, each with its id, trainable_name, config, status and result."""
        return self._ask("GET", self._path)

    def get_trial(self, trial_id: str) -> dict[str, Any]:
        """Return the same with one trial in it."""
        return self._ask("GET", f"{self._path}/{trial_id}")

    def add_trial(self, name: str, specification: dict[str, Any]) -> dict[str, Any]:
        """Add the trials of a spec to the run."""
        return self._ask("POST", self._path, {"name": name, "spec": specification})

    def stop_trial(self, trial_id: str) -> dict[str, Any]:
        """Stop a trial, at its next result."""
        return self._ask("PUT", f"{self._path}/{trial_id}")

    @property
    def server_address(self) -> str:
        """The host."""
        return self._address.partition(":")[0]

    @property
    def server_port(self) -> int:
        """The port."""
        return int(self._address.rpartition(":")[2])

    def _ask(self, method: str, url: str, content: Any = None) -> dict[str, Any]:
        body = None if content is None else json.dumps(content).encode()
        request = Request(url, data=body, method=method, headers={"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=10) as reply:
                found: dict[str, Any] = json.loads(reply.read())
        except HTTPError as error:
            text = json.loads(error.read() or b"{}").get("message", error.reason)
            raise TuneError(f"The server of the run refused: {text}") from error
        except (URLError, OSError) as error:
            raise TuneError(
                f"No run answers at {self._address}: {error}. Start one with with_server=True, on this machine."
            ) from error
        return found
