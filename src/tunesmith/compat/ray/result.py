"""Results as they were in 2019, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isinf, isnan
from typing import Any, Final

from tunesmith.compat.ray.cluster import results_dir

DONE: Final = "done"
TRAINING_ITERATION: Final = "training_iteration"
TIME_THIS_ITER_S: Final = "time_this_iter_s"
TIME_TOTAL_S: Final = "time_total_s"
TIMESTEPS_TOTAL: Final = "timesteps_total"
TIMESTEPS_THIS_ITER: Final = "timesteps_this_iter"
EPISODES_TOTAL: Final = "episodes_total"
EPISODES_THIS_ITER: Final = "episodes_this_iter"
EPISODE_REWARD_MEAN: Final = "episode_reward_mean"
MEAN_ACCURACY: Final = "mean_accuracy"
MEAN_LOSS: Final = "mean_loss"
NODE_IP: Final = "node_ip"
HOSTNAME: Final = "hostname"
PID: Final = "pid"
RESULT_DUPLICATE: Final = "__duplicate__"
DEFAULT_RESULTS_DIR: Final = results_dir()

_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@=+,()-]*(?: [A-Za-z0-9_./@=+,()-]+)*")
_LOOKS_OTHERWISE = re.compile(
    r"(?i)true|false|yes|no|on|off|null|~|\.nan|[-+]?\.inf|[-+]?[0-9][0-9_]*(\.[0-9_]*(e[-+][0-9]+)?)?|\.[0-9_]+(e[-+][0-9]+)?|0x[0-9a-f_]+|\d{4}-\d\d?-\d\d?"
)


def add_loss(result: dict[str, Any]) -> None:
    """Fill ``neg_mean_loss``, by which schedulers compare, whenever there is a mean loss."""
    loss = result.get("mean_loss")
    if isinstance(loss, (int, float)) and not isinstance(loss, bool):
        result.setdefault("neg_mean_loss", -loss)


def pretty_print(result: Mapping[str, Any]) -> str:
    """Return a result as YAML, sorted, without the configuration and what is None."""
    shown = {key: value for key, value in result.items() if key != "config" and value is not None}
    return "\n".join(_block(shown)) + "\n"


def _block(value: Mapping[str, Any]) -> list[str]:
    lines = []
    for key in sorted(value, key=str):
        inner = value[key]
        if isinstance(inner, Mapping) and inner:
            lines += [f"{_scalar(key)}:", *("  " + line for line in _block(inner))]
        elif isinstance(inner, (list, tuple)) and inner:
            lines += [f"{_scalar(key)}:", *(line for item in inner for line in _item(item))]
        else:
            lines.append(f"{_scalar(key)}: {_scalar(inner)}")
    return lines


def _item(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        first, *rest = _block(value)
        return [f"- {first}", *("  " + line for line in rest)]
    if isinstance(value, (list, tuple)) and value:
        first, *rest = [line for item in value for line in _item(item)]
        return [f"- {first}", *("  " + line for line in rest)]
    return [f"- {_scalar(value)}"]


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        if isnan(value):
            return ".nan"
        if isinf(value):
            return ".inf" if value > 0 else "-.inf"
        text = repr(float(value))
        return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    text = str(value)
    if _PLAIN_TEXT.fullmatch(text) and not _LOOKS_OTHERWISE.fullmatch(text):
        return text
    return "'" + text.replace("'", "''") + "'"
