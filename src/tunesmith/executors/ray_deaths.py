"""Explains how a worker on a Ray cluster came to its end, from what Ray says of it."""

from __future__ import annotations

import re
from pathlib import Path

from tunesmith.executors.deaths import tail
from tunesmith.executors.ray_actor import TOLD_TO_LEAVE
from tunesmith.trial import Failure

_FATAL = "Fatal Python error:"  # what faulthandler writes of a crash


def explain_loss(news: BaseException | None, where: str, overdue: Failure | None, stderr: Path) -> Failure:
    """Return why a worker went without a last word. What the machine or the cluster has done is not charged.

    Args:
        news: what Ray says; None where it has said nothing in time.
        where: the worker's node, in words.
        overdue: why the worker was killed by this library, if it was.
        stderr: where its errors went; its end is kept where it tells of a crash.
    """
    if overdue is not None:
        return overdue
    said = str(news) if news is not None else ""
    if node_died(news):
        return Failure("lost", f"The node {where}, where the trial was, is gone or can't be reached.", said)
    if getattr(news, "preempted", False):
        return Failure("preempted", f"The node {where} was taken back while the trial was there.", said)
    last_words = tail(stderr)
    if "receives a SIGTERM" in said or last_words.endswith(TOLD_TO_LEAVE):
        return Failure("preempted", f"The worker's process on {where} was told to leave (SIGTERM).", said)
    if type(news).__name__ == "OutOfMemoryError" or "memory usage threshold" in said or "running low on memory" in said:
        return Failure(
            "memory",
            f"Ray has killed the worker because the memory of {where} ran short. Run fewer trials at a time with "
            "max_concurrent_trials=, ask for memory in resources_per_trial=, or use less of it in each.",
            said,
        )
    if _FATAL in last_words:
        line = last_words[last_words.index(_FATAL) + len(_FATAL) :].splitlines()[0].strip()
        return Failure("killed", f"The worker's process on {where} crashed ({line}).", last_words)
    code = re.search(r"exit code (\d+)", said)
    if code and code[1] not in ("0", "1"):
        return Failure("exit", f"The worker's process on {where} ended with exit code {code[1]}.", last_words)
    return Failure(
        "lost",
        f"The worker's process on {where} went away without a word, as by SIGKILL, which the kernel's out-of-memory "
        "killer also uses, or by os._exit().",
        said,
    )


def node_died(news: BaseException | None) -> bool:
    """Whether Ray says, or lets one guess, that a worker's node has gone or can't be reached."""
    said = "" if news is None else str(news)
    unreachable = type(news).__name__ in ("NodeDiedError", "LocalRayletDiedError", "ActorUnavailableError")
    return unreachable or "node has died" in said or ("node was" in said and "terminated" in said)


def is_hopeless(news: BaseException | None) -> bool:
    """Whether a worker's end before its first trial says that the next ones will end like it."""
    names = {cls.__name__ for cls in type(news).__mro__}
    return bool(names & {"RuntimeEnvSetupError", "RayTaskError"}) or bool(getattr(news, "actor_init_failed", False))
