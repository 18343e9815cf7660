"""What a trial asks for, in the words of 2019."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tunesmith.compat.ray.errors import TuneError
from tunesmith.errors import nearest
from tunesmith.resources import Resources as Request

_KEYS = ("cpu", "gpu", "extra_cpu", "extra_gpu", "custom_resources", "extra_custom_resources")
_GONE = ("driver_cpu_limit", "driver_gpu_limit")


class Resources(NamedTuple):
    """What a trial asks for; the ``extra`` ones are reserved for what the trial itself starts."""

    cpu: float = 1
    gpu: float = 0
    extra_cpu: float = 0
    extra_gpu: float = 0
    custom_resources: dict[str, float] = {}  # noqa: RUF012 - never written to
    extra_custom_resources: dict[str, float] = {}  # noqa: RUF012 - as above

    def summary_string(self) -> str:
        """Return it as the status shows it."""
        request = self.request()
        text = f"{number(request.cpu)} CPUs, {number(request.gpu)} GPUs"
        custom = [f"{number(amount)} {name}" for name, amount in sorted(request.named.items())]
        return ", ".join([text, *custom])

    def request(self) -> Request:
        """Return what is reserved in all."""
        names = {**self.custom_resources, **self.extra_custom_resources}
        named = {n: self.custom_resources.get(n, 0) + self.extra_custom_resources.get(n, 0) for n in names}
        return Request.parse({"cpu": self.cpu + self.extra_cpu, "gpu": self.gpu + self.extra_gpu, **named})

    def cpu_total(self) -> float:
        """Return the CPUs that are reserved in all."""
        return self.cpu + self.extra_cpu

    def gpu_total(self) -> float:
        """Return the GPUs that are reserved in all."""
        return self.gpu + self.extra_gpu


def number(amount: float) -> str:
    """Return an amount as text: whole ones without decimals."""
    return f"{amount:g}"


def json_to_resources(data: Any) -> Resources | None:
    """Return what ``resources_per_trial`` says, or None if it says nothing.

    Raises:
        TuneError: it has a key that was taken away.
        ValueError: it has a key that nobody knows.
    """
    if data is None or data == "null":
        return None
    given = json.loads(data) if isinstance(data, str) else data
    if isinstance(given, Resources):
        return given
    if not isinstance(given, Mapping):
        raise ValueError(  # noqa: TRY004 - as in 2019
            f"resources_per_trial must be a dict such as {{'cpu': 1, 'gpu': 0}}, got {given!r}."
        )
    for key in given:
        if key in _GONE:
            raise TuneError(f"The field `{key}` is no longer supported. Use `extra_cpu` or `extra_gpu` instead.")
        if key not in _KEYS:
            raise ValueError(f"Unknown resource type {key}, must be one of {list(_KEYS)}.{nearest(key, _KEYS)}")
    return Resources(**{key: value for key, value in given.items() if value is not None})


def resources_to_json(resources: Resources | None) -> dict[str, Any] | None:
    """Return it as a dict."""
    return None if resources is None else dict(resources._asdict())
