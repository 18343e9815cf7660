"""Joins a Ray cluster, or starts a Ray on this machine, and tells what nodes there are."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from tunesmith.errors import ArgumentError, MissingPackageError, WorkerError
from tunesmith.executors.machine import usable_cpus
from tunesmith.executors.ray_demand import Node, read_node

_REACH_S: Final = 10.0  # how long a given address may take to answer
_CLIENT_PORT: Final = 10001  # Ray's own default for ray://


def load_ray() -> Any:
    """Return the package.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingPackageError('The executor "ray" needs the package ray: pip install "tunesmith[ray]"') from error
    return ray


class Cluster:
    """A Ray that this process has joined.

    Args:
        address: None starts one on this machine, unless the process is in one already or the environment names one
            (RAY_ADDRESS, as Ray's own tools set it); ``"auto"``, ``"host:port"`` and ``"ray://host:port"`` join one.
        runtime_env: what the workers have to have, in Ray's words.
        local: what a Ray on this machine is to have, as arguments of ``ray.init``.
        options: more arguments of ``ray.init``.

    Raises:
        ArgumentError: the address is wrong, or the process is in another Ray.
        WorkerError: Ray does not start, or can't be joined.
    """

    def __init__(
        self,
        address: str | None,
        runtime_env: Mapping[str, Any] | None,
        local: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        self._ray = ray = load_ray()
        self.joined_here = not ray.is_initialized()
        self.started_here = False
        self.runtime_env: dict[str, Any] | None = None  # for workers, where the whole job can't have it
        if not self.joined_here:
            _check_same(address, ray)
            self.runtime_env = dict(runtime_env) if runtime_env else None
        else:
            address = address or os.environ.get("RAY_ADDRESS") or "local"
            self.started_here = address == "local"
            self._join(address, runtime_env, local, options)
        client = sys.modules.get("ray.util.client")
        self.is_client = client is not None and bool(client.ray.is_connected())

    def _join(
        self,
        address: str,
        runtime_env: Mapping[str, Any] | None,
        local: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        ray, is_client = self._ray, address.startswith("ray://")
        if address not in ("local", "auto"):
            check_reachable(address)
        arguments: dict[str, Any] = {"log_to_driver": False}
        if not is_client:
            arguments["logging_level"] = logging.ERROR
        if self.started_here:
            arguments |= {"include_dashboard": False, **local}
            if arguments["num_cpus"] is None:  # Ray would count those that this process may not use as well
                arguments["num_cpus"] = max(1, int(usable_cpus()))
        elif any(value is not None for value in local.values()):
            given = ", ".join(f"{name}=" for name, value in local.items() if value is not None)
            raise ArgumentError(
                f"{given} describe a Ray that is started on this machine, but one is joined at {address!r}: its nodes "
                "have what they have."
            )
        if runtime_env:
            arguments["runtime_env"] = dict(runtime_env)
        try:
            ray.init(address, **(arguments | dict(options)))
        except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
            raise self._refused(address, error) from error

    def _refused(self, address: str, error: Exception) -> ArgumentError | WorkerError:
        reasons = f"{error}{error.__cause__}"
        if "InvalidAuthToken" in reasons or "AUTH_TOKEN" in reasons:
            return WorkerError(
                f"The Ray at {address!r} wants its token and was not shown the right one. Copy ~/.ray/auth_token from "
                "its head node to this machine, or set RAY_AUTH_TOKEN, and RAY_AUTH_MODE=token."
            )
        if address == "auto" and isinstance(error, ConnectionError):
            return ArgumentError(f"{_no_ray_at(address)} ({error})")
        what = "Ray does not start on this machine" if self.started_here else f"The Ray at {address!r} can't be joined"
        return WorkerError(f"{what}: {error}")

    @property
    def own_ip(self) -> str:
        """The address of this machine in the cluster."""
        return str(self._ray.util.get_node_ip_address())

    def nodes(self) -> list[Node]:
        """Return the nodes there are and those that are gone; of the latter only the address is known."""
        return [read_node(record) for record in self._ray.nodes()]

    def free(self) -> dict[str, float]:
        """Return what nobody uses at present, on all nodes together."""
        return {name: float(amount) for name, amount in self._ray.available_resources().items()}

    def leave(self) -> None:
        """Leave the cluster; end it if it was started here."""
        if self.joined_here:
            self._ray.shutdown()


def check_reachable(address: str) -> None:
    """Raise ArgumentError unless something answers at ``host:port`` or ``ray://host:port``.

    Ray itself tries for minutes and then ends the process.
    """
    is_client = address.startswith("ray://")
    try:
        parts = urlsplit(address if is_client else f"//{address}")
        host, port = parts.hostname, parts.port or (_CLIENT_PORT if is_client else None)
    except ValueError:
        host = port = None
    if not host or port is None or (not is_client and "/" in address):
        raise ArgumentError(
            f"The address of a Ray cluster is 'auto', 'host:port' or 'ray://host:port'; got {address!r} (from "
            "RAY_ADDRESS, where no address is given)."
        )
    try:
        socket.create_connection((host, port), timeout=_REACH_S).close()
    except OSError as error:
        raise ArgumentError(f"{_no_ray_at(address)} ({error})") from error


def _no_ray_at(address: str) -> str:
    if address == "auto":
        return (
            "address='auto' joins the Ray that runs on this machine, and there is none. Start one with "
            "`ray start --head`, give its address, or leave address= out to have one started for this run."
        )
    return f"There is no Ray cluster at {address!r}. `ray status` on the cluster's head node shows its address."


def _check_same(address: str | None, ray: Any) -> None:
    """Refuse an address while this process is in another cluster."""
    if address is None or address in ("auto", "local") or address.startswith("ray://"):
        return
    present = str(ray.get_runtime_context().gcs_address)
    if not _is_same(address, present):
        raise ArgumentError(
            f"This process is in the Ray at {present!r} already, and address={address!r} is another one. "
            "Leave address= out, or call ray.shutdown() first."
        )


def _is_same(first: str, second: str) -> bool:
    try:
        ends = [(socket.gethostbyname(host), port) for host, _, port in (first.rpartition(":"), second.rpartition(":"))]
    except OSError:
        return first == second
    return ends[0] == ends[1]
