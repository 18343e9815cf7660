"""The legal moves of a trial: one table, the only authority.

A row says in which states an event may arrive and to which states it may lead. Where several are possible, the
fold in `tunesmith.core.experiment` picks one by the rule named beside the row. An event that has no row in the
state it meets is refused and changes nothing.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from tunesmith import events as e
from tunesmith.trial import Status

S = Status
Moves: TypeAlias = dict[type[e.Event], dict[Status, tuple[Status, ...]]]

MOVES: Final[Moves] = {
    # A place is found: resources are taken and a worker is on its way.
    e.Placed: {S.PENDING: (S.STARTING,), S.PAUSED: (S.STARTING,)},
    e.Started: {S.STARTING: (S.RUNNING,), S.STOPPING: (S.STOPPING,), S.PAUSING: (S.PAUSING,)},
    # A report that was under way when a stop or pause was sent is recorded and not judged.
    e.Reported: {S.RUNNING: (S.RUNNING,), S.STOPPING: (S.STOPPING,), S.PAUSING: (S.PAUSING,)},
    # stop and fail lead to STOPPING while a worker lives, that of a parked trial too, to the end when none does; pause
    # leads to PAUSING; save, hold and continue leave a trial RUNNING.
    e.Judged: {
        S.PENDING: (S.TERMINATED, S.ERROR),
        S.STARTING: (S.STOPPING, S.PAUSING),
        S.RUNNING: (S.STOPPING, S.PAUSING, S.RUNNING),
        S.PAUSING: (S.STOPPING,),
        S.PAUSED: (S.TERMINATED, S.ERROR, S.STOPPING),
        S.STOPPING: (S.STOPPING,),
    },
    # To go on from another trial's state, or with other resources, a trial has to be paused first.
    e.Cloned: {S.PENDING: (S.PENDING,), S.RUNNING: (S.PAUSING,), S.PAUSED: (S.PAUSED,)},
    e.Changed: {S.PENDING: (S.PENDING,), S.RUNNING: (S.PAUSING,), S.PAUSED: (S.PAUSED,)},
    # What a user asked for before a session begins; no worker of the session before is left then.
    e.Reopened: {S.TERMINATED: (S.PENDING,), S.ERROR: (S.PENDING,)},
    e.Refitted: {state: (state,) for state in (S.PENDING, S.STARTING, S.RUNNING, S.PAUSING, S.PAUSED)},
    e.Saved: {S.RUNNING: (S.RUNNING,), S.STOPPING: (S.STOPPING,), S.PAUSING: (S.PAUSING,)},
    e.Completed: {S.RUNNING: (S.TERMINATED,), S.PAUSING: (S.TERMINATED,), S.STOPPING: (S.TERMINATED, S.ERROR)},
    # ERROR when the stop was a verdict of failure.
    e.Stopped: {S.STOPPING: (S.TERMINATED, S.ERROR)},
    e.Paused: {S.PAUSING: (S.PAUSED,), S.STOPPING: (S.TERMINATED, S.ERROR)},
    # The worker of a parked trial has left, as it was told to or (Lost) by itself.
    e.Released: {S.PAUSED: (S.PAUSED,), S.STOPPING: (S.TERMINATED, S.ERROR)},
    # It is tried again, from an earlier checkpoint.
    e.Damaged: {
        S.STARTING: (S.PENDING,),
        S.RUNNING: (S.PENDING,),
        S.PAUSING: (S.PENDING,),
        S.STOPPING: (S.TERMINATED, S.ERROR),
    },
    # PENDING when the trial may be tried again, else ERROR.
    e.Failed: {
        S.STARTING: (S.PENDING, S.ERROR),
        S.RUNNING: (S.PENDING, S.ERROR),
        S.PAUSING: (S.PENDING, S.ERROR),
        S.STOPPING: (S.ERROR,),
    },
    # A worker that was told to stop and is gone has stopped; one that was told to pause leaves a paused trial, if it
    # may be tried again: what was decided is not decided anew.
    e.Lost: {
        S.STARTING: (S.PENDING, S.ERROR),
        S.RUNNING: (S.PENDING, S.ERROR),
        S.PAUSING: (S.PAUSED, S.ERROR),
        S.PAUSED: (S.PAUSED,),
        S.STOPPING: (S.TERMINATED, S.ERROR),
    },
    # A new driver finds no worker of the old one: what ran goes back to its last checkpoint and waits, paused if that
    # was decided.
    e.SessionOpened: {
        S.STARTING: (S.PENDING,),
        S.RUNNING: (S.PENDING,),
        S.PAUSING: (S.PAUSED,),
        S.PAUSED: (S.PAUSED,),
        S.STOPPING: (S.TERMINATED, S.ERROR),
    },
}
