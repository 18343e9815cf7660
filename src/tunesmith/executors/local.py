"""Runs trials in processes on this machine."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from tunesmith.commands import Continue, Kill, Pause, Release, Start, Stop, WorkerCommand
from tunesmith.errors import ArgumentError, NotPicklableError, WorkerError
from tunesmith.events import Completed, Damaged, Failed, Lost, Paused, Released, Reported, Started, Stopped, WorkerEvent
from tunesmith.executors.deaths import explain
from tunesmith.executors.machine import oom_kills, total
from tunesmith.executors.packing import assignment, job_sheet
from tunesmith.executors.pickling import pack_job
from tunesmith.executors.slots import Parking, Slot
from tunesmith.executors.waker import Waker
from tunesmith.executors.zygote_process import ZygoteProcess
from tunesmith.resources import Resources
from tunesmith.trial import Failure
from tunesmith.worker import wire
from tunesmith.worker.job import Job
from tunesmith.worker.running import takes_new_config
from tunesmith.worker.session import CONTINUE, DROP, NUMBER, PAUSE, RESUME, SAVE, STOP

_AWAITING: Final = (wire.EVENT, wire.EVENT + wire.SPILLED)  # reports of this kind wait for an answer
_ENDS: Final = frozenset({Completed, Stopped, Paused, Damaged, Failed})
_OVER: Final = frozenset({Completed, Stopped})
_INLINE_BYTES: Final = 16_384  # an assignment up to this size fits into a pipe that nobody reads yet


class LocalExecutor:
    """Runs each trial in a process of its own on this machine.

    A helper process, the zygote, imports the trainable's modules once and forks a worker for each trial, in
    milliseconds. With ``start="auto"`` it spawns fresh interpreters instead where a fork can't serve: on other systems
    than Linux, and when importing those modules has started threads or CUDA, or has loaded jax, tensorflow or ray.

    Args:
        cpus: how many CPUs trials may use in all; those this process may use by default.
        gpus: how many GPUs; those that are visible by default.
        resources: amounts of other resources, by name.
        start: ``"auto"``, ``"fork"`` or ``"spawn"``.
        stop_grace_s: how long a worker may take to leave after its trial has ended.
        park: how many paused trials may stay in memory, each in its process and without its share of the machine.
            Others are saved and leave. Those with GPUs always leave; so do all when the machine's memory runs short.
        prepare: the name of a module that the workers' processes import before anything of the trainable's.
    """

    def __init__(  # noqa: PLR0917 - a run's settings, usually by name
        self,
        cpus: float | None = None,
        gpus: int | None = None,
        resources: Mapping[str, float] | None = None,
        start: Literal["auto", "fork", "spawn"] = "auto",
        stop_grace_s: float = 5.0,
        park: int = 32,
        prepare: str = "",
    ) -> None:
        if isinstance(park, bool) or not isinstance(park, int) or park < 0:
            raise ArgumentError(f"park must be a whole number of trials, 0 or more, got {park!r}.")
        if start not in ("auto", "fork", "spawn"):
            raise ArgumentError(f"start must be 'auto', 'fork' or 'spawn', got {start!r}.")
        self._total, self._gpu_ids = total(cpus, gpus, resources)
        self._start_method = start
        self._grace_s = stop_grace_s
        self._park = park
        self._prepare = prepare
        self.start: wire.Ready | None = None  # how workers are started, and why; known once the first one is
        self._zygote: ZygoteProcess | None = None
        self._is_open = False
        self._waker = Waker()
        self._forget()

    def _forget(self) -> None:
        """Begin with a clean table: an executor may serve one run after another."""
        self._job_file: IO[bytes] | None = None
        self._queue: list[WorkerEvent] = []
        self._running: dict[int, Slot] = {}
        self._incarnations: dict[int, int] = {}
        self._slots: list[Slot] = []
        self._free: list[Slot] = []
        self._idle: dict[str, list[Slot]] = {}
        self._parked = Parking(self._park)
        self._staying: dict[int, Slot] = {}  # by trial: workers that wait for their trial's next start
        self._timed: set[Slot] = set()
        self._restarts_left = 1

    # -- the protocol

    def open(self, job: Job, reuse_workers: bool) -> Resources:
        """Start the zygote and send it the job.

        Raises:
            ArgumentError: another run uses this executor now.
            NotPicklableError: the trainable or its parameters can't be sent to a worker.
            StorageError: the experiment's folder can't be written.
        """
        if self._is_open:
            raise ArgumentError("This executor is in use by another run. Give each run of the same time its own.")
        self._forget()
        self._path = job.path
        Path(job.path).mkdir(parents=True, exist_ok=True)
        self._waker.open()
        self._is_open = True
        self._ooms = oom_kills()
        self._takes_new_config = takes_new_config(job.trainable)
        try:
            self._launch()  # it comes up while the job is made into bytes
            self._job_file, size, spans = pack_job(job)
            self._sheet = job_sheet(job, self._start_method, size, spans, reuse=reuse_workers, prepare=self._prepare)
            self._send_job()
        except BaseException:
            self.close(0)
            raise
        return self._total

    def obey(self, commands: Sequence[WorkerCommand]) -> None:
        """Carry out orders; a trial whose configuration can't be sent fails by an event of the next `poll`."""
        for command in commands:
            kind = type(command)
            if kind is Start:
                self._begin(command)  # type: ignore[arg-type]  # narrowed by the line above
                continue
            slot = self._running.get(command.trial)
            if slot is None or slot.incarnation != command.incarnation or slot.last is not None:
                self._to_parked(command)
            elif kind is Continue:
                if slot.owed > 0:
                    self._answer(slot, SAVE if command.save else CONTINUE)  # type: ignore[attr-defined]  # as above
            elif isinstance(command, Stop):
                self._tell_to_end(slot, STOP, command.grace_s, "stop")
            elif isinstance(command, Pause):
                self._pause(slot, command)
            elif isinstance(command, Kill):
                slot.overdue = command.failure
                self._kill(slot)
        if self._zygote is not None:
            self._zygote.flush()

    def poll(self, timeout: float | None) -> Sequence[WorkerEvent]:
        """Return all that has arrived.

        Raises:
            WorkerError: the job can't be loaded in a worker, or workers can't be started any more.
        """
        zygote = self._zygote
        if zygote is None:
            return []
        if self._queue:
            timeout = 0
        if self._timed:
            timeout = self._end_overdue(timeout)
        for fd, what in self._poller.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.999))):
            if fd == zygote.up:
                self._take_in(zygote)
            elif fd == self._waker.reader:
                self._waker.drain()
            elif what & (select.POLLHUP | select.POLLERR | select.POLLIN):
                self._zygote_died(zygote)
        events, self._queue = self._queue, []
        return events

    def wake(self) -> None:
        """Make a `poll` under way return."""
        self._waker.wake()

    def close(self, grace_s: float = 5.0) -> None:
        """End every worker and its children. Those that run are told to stop and have `grace_s` seconds."""
        if not self._is_open:
            return
        self._is_open = False
        zygote = self._zygote
        try:
            if grace_s > 0 and zygote is not None:
                self._let_end(grace_s)
        except WorkerError:
            pass
        finally:
            self._zygote = None
            if zygote is not None:
                zygote.leave()
            if self._job_file is not None:
                self._job_file.close()
            self._waker.close()

    # -- orders

    def _begin(self, start: Start) -> None:
        if self._incarnations.get(start.trial, 0) >= start.incarnation:
            return
        self._incarnations[start.trial] = start.incarnation
        if start.parked:
            self._wake_parked(start)
            return
        visible = ",".join([self._gpu_ids[i] for i in start.allocation.gpus]) if start.allocation.gpus else ""
        try:
            order = assignment(start, visible)
        except NotPicklableError as error:
            self._queue.append(Failed(start.trial, start.incarnation, Failure("start", str(error))))
            return
        slot = self._return(start.trial, visible, order) or self._seat(visible, order)
        slot.trial = start.trial
        slot.incarnation = start.incarnation
        slot.folder = start.folder
        slot.visible = visible
        slot.exclusive = bool(visible or start.allocation.resources.named)
        self._running[start.trial] = slot

    def _return(self, trial: int, visible: str, order: bytes) -> Slot | None:
        """Give the assignment to the worker that waits for this trial, if there is one that can take it."""
        slot = self._staying.pop(trial, None)
        if slot is None:
            return None
        if slot.visible == visible and len(order) <= _INLINE_BYTES:
            self._assign(slot, order)
            return slot
        self._write(slot, wire.QUIT)
        return None

    def _assign(self, slot: Slot, order: bytes) -> None:
        self._write(slot, wire.ASSIGN + wire.ASSIGNED.pack(len(order)) + order)

    def _seat(self, visible: str, order: bytes) -> Slot:
        """Give the assignment to an idle worker that sees the same GPUs, or to a new one."""
        idle = self._idle.get(visible)
        if idle and len(order) <= _INLINE_BYTES:
            slot = idle.pop()
            self._assign(slot, order)
            return slot
        if self._idle:
            self._dismiss_others(visible)
        zygote = self._zygote
        if zygote is None:
            raise WorkerError("The executor is not open.")
        if self._free:
            slot = self._free.pop()
        else:
            index = len(self._slots)
            slot = Slot(index, zygote.open_down(index))
            self._slots.append(slot)
        zygote.order(wire.START, slot.index, order)
        return slot

    def _dismiss_others(self, visible: str) -> None:
        """Let an idle worker that sees other GPUs go: its memory there would be missed by the new one."""
        for others, slots in self._idle.items():
            if others and others != visible:
                while slots:
                    self._write(slots.pop(), wire.QUIT)

    # -- pausing

    def _pause(self, slot: Slot, command: Pause) -> None:
        if command.keep == "drop":
            slot.stays = self._takes_new_config
            self._tell_to_end(slot, DROP, command.grace_s, "give its state up")
        elif command.keep == "park" and self._parked.has_room(slot):
            del self._running[slot.trial]
            self._parked.put(slot)
            self._queue.append(Paused(slot.trial, slot.incarnation, parked=True))
        else:
            self._tell_to_end(slot, PAUSE, command.grace_s, "pause")
        surplus = self._parked.surplus()
        if surplus is not None:
            self._send_away(surplus, PAUSE, command.grace_s)

    def _to_parked(self, command: WorkerCommand) -> None:
        slot = self._parked.find(command.trial, command.incarnation)
        if slot is not None and isinstance(command, (Release, Stop)):
            self._send_away(slot, PAUSE if isinstance(command, Release) else STOP, command.grace_s)

    def _send_away(self, slot: Slot, answer: bytes, grace_s: float) -> None:
        if self._parked.leave(slot):
            self._tell_to_end(slot, answer, grace_s, "leave")

    def _wake_parked(self, start: Start) -> None:
        """Let a parked trial go on as a new incarnation."""
        slot = self._parked.wake(start.trial)
        if slot is None or slot.started is None:
            story = "The worker that kept the trial's state in memory is gone."
            self._queue.append(Lost(start.trial, start.incarnation, Failure("parked", story)))
            return
        slot.incarnation = start.incarnation
        slot.started = msgspec.structs.replace(slot.started, incarnation=start.incarnation)
        self._running[start.trial] = slot
        self._queue.append(slot.started)
        self._answer(slot, RESUME + NUMBER.pack(start.incarnation))

    def _tell_to_end(self, slot: Slot, answer: bytes, grace_s: float, what: str) -> None:
        if slot.hasten(what, grace_s, time.monotonic()):
            self._timed.add(slot)
        if slot.owed >= 0:
            self._answer(slot, answer)

    def _answer(self, slot: Slot, answer: bytes) -> None:
        slot.owed -= 1
        self._write(slot, answer)

    def _write(self, slot: Slot, data: bytes) -> None:
        try:
            os.write(slot.down, data)
        except OSError:  # the zygote, who holds the other end, is gone: poll will see that
            pass

    # -- what comes

    def _take_in(self, zygote: ZygoteProcess) -> None:
        queue, slots, decode = self._queue, self._slots, wire.decode_event
        for kind, index, payload in zygote.read():
            if kind <= wire.LAST_REPORT:
                event = decode(payload)
            elif kind == wire.GONE:
                self._worker_gone(slots[index], wire.decode_ended(payload))
                continue
            elif kind == wire.READY:
                self.start = wire.decode_ready(payload)
                continue
            elif kind == wire.REFUSED:
                self._refused(wire.decode_refused(payload))
                continue
            else:
                event = wire.read_spilled(payload)
            slot = slots[index]
            if event.trial != slot.trial or event.incarnation != slot.incarnation:
                continue
            if type(event) in _ENDS:
                self._trial_ended(slot, event)
                continue
            if kind in _AWAITING and type(event) is Reported:
                slot.owed += 1
            elif type(event) is Started:
                slot.started = event
            queue.append(event)

    def _trial_ended(self, slot: Slot, event: WorkerEvent) -> None:
        if type(event) is not Failed and not slot.doomed and (self._sheet.reuse or slot.stays):
            trial, stays = slot.trial, slot.stays
            self._queue.append(self._removed(slot, event))
            self._timed.discard(slot)
            slot.forget_trial()
            if stays:
                self._staying[trial] = slot
            else:
                self._idle.setdefault(slot.visible, []).append(slot)
            return
        slot.last = event
        slot.deadline = time.monotonic() + self._grace_s
        self._timed.add(slot)
        if type(event) in _OVER and not slot.exclusive:
            # It has nothing left to do but to leave, and its CPUs need not wait for that.
            self._queue.append(self._removed(slot, event))
            slot.trial = -1

    def _removed(self, slot: Slot, event: WorkerEvent) -> WorkerEvent:
        """Take the trial of `slot` off the lists, and return its last event, in the words that the list asks for."""
        if not self._parked.remove(slot):
            del self._running[slot.trial]
            return event
        if isinstance(event, Paused):
            return Released(event.trial, event.incarnation, event.checkpoint)
        if isinstance(event, (Failed, Lost)):
            failure = msgspec.structs.replace(event.failure, kind="parked")
            return Lost(event.trial, event.incarnation, failure)
        return event

    def _worker_gone(self, slot: Slot, ended: wire.Ended) -> None:
        self._timed.discard(slot)
        event = slot.last
        if slot.trial >= 0:
            if event is None:
                overdue = slot.overdue if ended.killed else None
                stderr = Path(self._path, slot.folder, "stderr")
                failure = explain(ended, memory_was_short=oom_kills() > self._ooms, overdue=overdue, stderr=stderr)
                self._ooms += failure.kind == "memory"  # each kill explains one death
                event = Lost(slot.trial, slot.incarnation, failure)
            self._queue.append(self._removed(slot, event))
        elif slot in self._idle.get(slot.visible, ()):
            self._idle[slot.visible].remove(slot)
        else:
            self._staying = {trial: other for trial, other in self._staying.items() if other is not slot}
        if (slot.owed != 0 or slot.last is None) and self._zygote is not None:
            # Something may be left in its pipe that must not reach the next worker.
            slot.down = self._zygote.open_down(slot.index)
        slot.clear()
        self._free.append(slot)

    def _end_overdue(self, timeout: float | None) -> float | None:
        """Kill the workers whose time is up; return how long to wait at most for the next one's."""
        now = time.monotonic()
        for slot in list(self._timed):
            if slot.deadline is not None and slot.deadline <= now and self._zygote is not None:
                self._kill(slot)
                self._zygote.flush()
        deadlines = [slot.deadline - now for slot in self._timed if slot.deadline is not None]
        if not deadlines:
            return timeout
        return min(deadlines) if timeout is None else min(timeout, *deadlines)

    def _kill(self, slot: Slot) -> None:
        """End a worker, stopped or not, with all that it has started; `poll` hears of it when they are gone."""
        self._timed.discard(slot)
        slot.doomed = True
        if self._zygote is not None:
            self._zygote.order(wire.KILL, slot.index)

    def _refused(self, refused: wire.Refused) -> None:
        self._running.clear()  # there are no workers, and none will come that `close` could wait for
        self._slots.clear()
        self._free.clear()
        raise WorkerError(
            f"The trainable can't be loaded in a worker process: {refused.message}. A worker has the same search path, "
            f"working directory and arguments as this process.\n{refused.traceback}"
        )

    # -- the zygote

    def _launch(self) -> None:
        self._zygote = ZygoteProcess(Path(self._path, "workers.log"))
        self._poller = select.poll()
        for fd in (self._zygote.up, self._zygote.control.fileno(), self._waker.reader):
            self._poller.register(fd, select.POLLIN)

    def _send_job(self) -> None:
        if self._zygote is not None and self._job_file is not None:
            self._zygote.hand_over(wire.JOB, 0, wire.encode(self._sheet), self._job_file.fileno())

    def _zygote_died(self, zygote: ZygoteProcess) -> None:
        """Give its workers up and start another one, once."""
        self._take_in(zygote)
        how = zygote.end()
        words = zygote.last_words()
        story = f"The process that starts the workers has ended ({how})."
        for slot in self._slots:
            if slot.started is not None:
                _kill_abandoned(slot.started.pid)
        for slot in [*self._running.values(), *self._parked.all()]:
            lost = slot.last or Lost(slot.trial, slot.incarnation, Failure("lost", story, words))
            self._queue.append(self._removed(slot, lost))
        self._running.clear()
        self._slots.clear()
        self._free.clear()
        self._idle.clear()
        self._staying.clear()
        self._timed.clear()
        zygote.leave()
        if self.start is None or self._restarts_left == 0:
            self._zygote = None
            raise WorkerError(f"{story} Its last words, from {zygote.log}:\n{words or '(none)'}")
        self._restarts_left -= 1
        self._launch()
        self._send_job()

    def _let_end(self, grace_s: float) -> None:
        for slot in [*(slot for slots in self._idle.values() for slot in slots), *self._staying.values()]:
            self._write(slot, wire.QUIT)
        for slot in [*self._running.values(), *self._parked.all()]:
            if slot.last is None:
                self._tell_to_end(slot, STOP, grace_s, "stop")
        until = time.monotonic() + grace_s
        while len(self._free) < len(self._slots) and (left := until - time.monotonic()) > 0:
            self.poll(left)


def _kill_abandoned(leader: int) -> None:
    import signal

    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
