"""Runs the user's trainable for one trial, whatever the process and however the driver is reached."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from functools import partial
from types import GeneratorType
from typing import Any, TypeAlias

from tunesmith.errors import TunesmithError
from tunesmith.events import Reported, Saved, WorkerEvent
from tunesmith.worker import trainable as trainables
from tunesmith.worker.failures import describe, format_traceback
from tunesmith.worker.session import AMBIENT, CONTINUE, DROP, PAUSE, SAVE, STOP, Session, StopTrial
from tunesmith.worker.trainable import Trainable

Steps: TypeAlias = Generator[Reported | Saved, bytes, WorkerEvent]  # only a Reported is answered
Outcome: TypeAlias = tuple[Reported | None, WorkerEvent]  # a final report that needs no answer, and the end


def is_class(trainable: Any) -> bool:
    """Whether the trainable is a class with steps rather than a function."""
    return isinstance(trainable, type) and issubclass(trainable, Trainable)


def takes_new_config(trainable: Any) -> bool:
    """Whether the trainable can take up another configuration in place, so that its worker is worth keeping for it."""
    return is_class(trainable) and trainable.reset_config is not Trainable.reset_config


def run_function(session: Session, config: dict[str, Any]) -> Outcome:
    """Call a function trainable; return a final report, if what it returned is one, and the event of its end."""
    job = session.job
    outer, AMBIENT.session = AMBIENT.session, session
    try:
        damaged = session.restore()
        if damaged is not None:
            return None, damaged
        outcome = job.trainable(config, **job.parameters)
        if type(outcome) is GeneratorType:
            outcome = _exhaust(session, outcome)
        if session.verdict != CONTINUE:  # it swallowed the exception that was to end it, and ended all the same
            return None, session.obeyed(session.latest)
        if outcome is not None:
            return session.compose(_returned(session, outcome)), session.completed()
        if session.iteration == 0:  # one that goes on from its last checkpoint may have nothing left to do
            raise TunesmithError(
                "The trainable returned without reporting anything. Call tune.report(...) with the metric in it, "
                "or return a number or a dict of metrics."
            )
        return None, session.completed()
    except StopTrial:
        return None, session.obeyed(session.latest)
    except BaseException as error:  # noqa: BLE001 - whatever the user's code raises becomes a fact about its trial
        return None, _raised(session, error)
    finally:
        AMBIENT.session = outer
        session.close()


def _returned(session: Session, outcome: Any) -> Any:
    named = session.name_number(outcome)
    if type(named) is not dict and not isinstance(named, Mapping):
        raise TunesmithError(
            f"The trainable returned {outcome!r:.200} ({type(outcome).__name__}). Return None, a number, or a dict of "
            "metrics."
        )
    return named


def _exhaust(session: Session, generator: Generator[Any, None, Any]) -> Any:
    """Report each value that a generator yields; return what it returns."""
    try:
        while True:
            try:
                value = next(generator)
            except StopIteration as end:
                return end.value
            session.report(session.name_number(value))
    finally:
        generator.close()


def _raised(session: Session, error: BaseException) -> WorkerEvent:
    if session.verdict == CONTINUE:
        return session.failed(describe(error))
    # The trial was told to end and its clean-up raised: worth telling, but no failure of what it had achieved.
    print(f"While the trial was ending:\n{format_traceback(error)}", file=sys.stderr)
    return session.obeyed(session.latest)


class Seat:
    """Where a class trainable stays between two trials of a worker that is kept."""

    __slots__ = ("instance",)

    def __init__(self) -> None:
        self.instance: Trainable | None = None

    def clear(self) -> None:
        """Give the trainable up."""
        instance, self.instance = self.instance, None
        if instance is not None:
            _clean_up(instance)


def class_steps(session: Session, config: dict[str, Any], seat: Seat, *, keep: bool) -> Steps:
    """Drive a class trainable: yields reports, receives the answers, and returns its last event.

    A trainable that `seat` holds is used again if it can take up the new configuration. It is left there when all went
    well and `keep` is true, or the trial will go on from another state and the trainable may take that up in place.
    """
    try:
        damaged = session.restore()
        if damaged is not None:
            if not keep:
                seat.clear()
            return damaged
        event = yield from _loop(session, _prepared(session, config, seat))
    except BaseException as error:  # noqa: BLE001 - as above
        event = session.failed(describe(error))
        seat.clear()
        return event
    finally:
        session.close()
    if not (keep or (session.verdict == DROP and takes_new_config(session.job.trainable))):
        seat.clear()
    return event


def _prepared(session: Session, config: dict[str, Any], seat: Seat) -> Trainable:
    order = session.order
    identity = (order.trial_id, order.name, session.folder)
    instance = seat.instance
    if instance is not None and not trainables.reset(instance, config, identity, session.resources):
        seat.clear()
        instance = None
    if instance is None:
        cls: Any = session.job.trainable
        made = trainables.create(cls, config, session.job.parameters, identity, session.resources)
        instance = seat.instance = made
    if order.checkpoint is not None:
        trainables.read_state(instance, session.restored)
    trainables.resume_counting(instance, order.iteration, order.time_total_s)
    session.totals = trainables.totals_of(instance)
    return instance


def _loop(session: Session, instance: Trainable) -> Steps:
    job = session.job
    save = partial(trainables.write_state, instance)
    while True:
        metrics, spent = trainables.advance(instance)
        due = bool(metrics.pop("should_checkpoint", False))
        due = due or (job.checkpoint_freq > 0 and instance.iteration % job.checkpoint_freq == 0)
        event = session.compose(metrics, spent=spent, save=save if due else None)
        session.verdict = yield event
        reference = event.checkpoint
        if session.verdict == CONTINUE:
            continue
        if session.verdict == SAVE:
            yield session.saved(reference or session.save(save))
            session.verdict = CONTINUE
            continue
        if reference is None and (session.verdict == PAUSE or (session.verdict == STOP and job.checkpoint_at_end)):
            reference = session.save(save)
        return session.obeyed(reference)


def _clean_up(instance: Trainable) -> None:
    try:
        instance.cleanup()
    except BaseException as error:  # noqa: BLE001 - its trial has ended already: tell, and hurt nobody
        print(f"cleanup() raised:\n{format_traceback(error)}", file=sys.stderr)
