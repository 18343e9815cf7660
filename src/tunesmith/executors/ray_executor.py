"""Runs trials on a Ray cluster: Ray places, starts and watches the workers, and nothing else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from tunesmith.commands import Continue, Kill, Pause, Start, Stop, WorkerCommand
from tunesmith.errors import ArgumentError, NotPicklableError, ResourceError, StorageError, WorkerError
from tunesmith.events import Completed, Damaged, Failed, Lost, Paused, Reported, Started, Stopped, WorkerEvent
from tunesmith.executors.machine import total as machine_total
from tunesmith.executors.packing import assignment, job_sheet
from tunesmith.executors.pickling import dump_job
from tunesmith.executors.ray_actor import Post, marked, plain_sheet, unmark
from tunesmith.executors.ray_cluster import Cluster, load_ray
from tunesmith.executors.ray_crew import Crew, RayWorker
from tunesmith.executors.ray_deaths import explain_loss, is_hopeless, node_died
from tunesmith.executors.ray_demand import Demand, amounts, parse_bundles, together, total
from tunesmith.executors.ray_link import CLOSED, HELLO, SECRET_BYTES, Parcel, decode_hello
from tunesmith.executors.ray_nodes import Nodes
from tunesmith.executors.ray_queue import Waiting, reason, refusal
from tunesmith.executors.ray_relay import RelayedSwitchboard
from tunesmith.executors.ray_staff import Staff
from tunesmith.executors.ray_switchboard import Switchboard
from tunesmith.resources import Resources
from tunesmith.trial import Failure
from tunesmith.worker import wire
from tunesmith.worker.job import Job
from tunesmith.worker.running import takes_new_config
from tunesmith.worker.session import CONTINUE, DROP, PAUSE, SAVE, STOP

_ENDS: Final = frozenset({Completed, Stopped, Paused, Damaged, Failed})
_OVER: Final = frozenset({Completed, Stopped})
_SETTLE_S: Final = 3.0  # how long Ray's word of an end, and the end of the connection, wait for each other
_LEAVE_S: Final = 5.0
_FALSE_STARTS: Final = 3  # so many workers in a row may go before they are ready


class RayExecutor:
    """Runs each trial in an actor on a Ray cluster, or on a Ray that is started on this machine for the run.

    Each trial has a placement group with what it asks for. With ``reuse_workers=True`` an actor runs one trial after
    another, otherwise one for each is started. A trial that loses its worker, its node or its place to somebody else
    goes on elsewhere from its last checkpoint, and that is not counted as a failure of its own. A paused trial is
    saved and leaves its place. Trials that wait for room are told of by the logger ``tunesmith.ray``.

    The nodes have to see the experiment's folder: ``storage_path=`` is on a file system that they share, or a URL.

    Args:
        address: ``"auto"`` joins the Ray that runs on this machine, ``"host:port"`` one elsewhere from one of its
            nodes, ``"ray://host:port"`` one from outside. None joins the one that this process is in already or that
            the variable RAY_ADDRESS names; if there is none, a Ray is started on this machine and ended after the run.
        runtime_env: what the workers need to have, as Ray takes it, such as ``{"working_dir": ".", "pip": [...]}``.
        cpus: how many CPUs a Ray that is started here has; those this process may use by default.
        gpus: how many GPUs it has; those that are visible by default.
        resources: other resources that it has, by name.
        bundles: for trainables that are distributed themselves: the resources of a trial in several pieces, the first
            one for the trainable itself, such as ``[{"cpu": 1}, {"cpu": 4, "gpu": 1}]``; one CPU each by default.
            What the trial asks for must be their sum, `resources_per_trial`.
        strategy: how the bundles lie on the nodes: ``"PACK"``, ``"SPREAD"``, ``"STRICT_PACK"`` or ``"STRICT_SPREAD"``.
        autoscaling: what a cluster that grows by itself may grow to, such as ``{"cpu": 256, "gpu": 32}``. Trials are
            placed up to that, and wait for the nodes; nothing is refused because no present node has it.
        start_ahead: start the next worker of a place while its present trial runs, if workers are not reused and the
            trial has CPUs only.
        init: more arguments of ``ray.init``.

    Raises:
        ArgumentError: an argument is wrong.
        MissingPackageError: Ray is not installed.

    Example:
        >>> def train(config):
        ...     return {"loss": config["x"] ** 2}
        >>> executor = tune.RayExecutor(address="auto")  # doctest: +SKIP
        >>> tune.run(train, {"x": tune.uniform(-1, 1)}, executor=executor, num_samples=100)  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0917 - a run's settings, usually by name
        self,
        address: str | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        cpus: float | None = None,
        gpus: int | None = None,
        resources: Mapping[str, float] | None = None,
        bundles: Sequence[Mapping[str, float]] | None = None,
        strategy: str = "PACK",
        autoscaling: Mapping[str, float] | None = None,
        start_ahead: bool = True,
        init: Mapping[str, Any] | None = None,
    ) -> None:
        load_ray()
        if address is not None and (not isinstance(address, str) or not address.strip()):
            raise ArgumentError(f"address must be a text such as 'auto' or 'host:port'; got {address!r}.")
        machine_total(cpus, gpus, resources)  # which says what is wrong with them
        self._address = address
        self._runtime_env = runtime_env
        self._local = {"num_cpus": cpus, "num_gpus": gpus, "resources": dict(resources) if resources else None}
        self._bundles, self._strategy = parse_bundles(bundles, strategy)
        self._limit = None if autoscaling is None else Resources.parse({"cpu": 0, **autoscaling})
        self._start_ahead = bool(start_ahead)
        self._init = dict(init or {})
        self._is_open = False

    @property
    def resources_per_trial(self) -> dict[str, float]:
        """What a trial has to ask for where `bundles` say how it is divided: their sum."""
        found = together(self._bundles or [Resources()])
        return {"cpu": found.cpu, "gpu": found.gpu, **found.named}

    # -- the protocol

    def open(self, job: Job, reuse_workers: bool) -> Resources:
        """Join or start Ray and put the job into its object store.

        Raises:
            ArgumentError: another run uses this executor now, or the address is wrong.
            NotPicklableError: the trainable or its parameters can't be sent to a worker.
            StorageError: the experiment's folder can't be written.
            WorkerError: Ray can't be started.
        """
        if self._is_open:
            raise ArgumentError("This executor is in use by another run. Give each run of the same time its own.")
        data, buffers = dump_job(job)
        self._begin_anew(job, reuse_workers)
        with ExitStack() as stack:
            self._cluster = Cluster(self._address, self._runtime_env, self._local, self._init)
            stack.callback(self._cluster.leave)
            token = _marked(job)
            stack.callback(unmark, job.path)
            secret = os.urandom(SECRET_BYTES)
            self._board = self._make_board(secret)
            stack.callback(self._board.close)
            sheet = plain_sheet(job_sheet(job, "ray", len(data), [], reuse=reuse_workers), dict(os.environ))
            path = [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]  # noqa: PTH100 - a text
            where = self._board.host, self._board.port, secret
            post = Post(*where, sheet, path, list(sys.argv), token, Parcel(data, list(buffers)))
            self._crew = Crew(post, self._cluster.runtime_env, self._board.wake)
            self._staff = Staff(self._crew, self._board.send, reuse=reuse_workers, start_ahead=self._start_ahead)
            self._nodes = Nodes(self._cluster.nodes)
            there = total(self._nodes.there())
            self._closing = stack.pop_all()
        self._is_open = True
        return there if self._limit is None else _grown(there, self._limit)

    def _make_board(self, secret: bytes) -> Switchboard | RelayedSwitchboard:
        if self._cluster.is_client:
            return RelayedSwitchboard(secret)
        return Switchboard(self._cluster.own_ip, secret)

    def _begin_anew(self, job: Job, reuse: bool) -> None:
        """Begin with a clean table: an executor may serve one run after another."""
        self._path = job.path
        self._reuse = reuse
        self._takes_new_config = takes_new_config(job.trainable)
        self._queue: list[WorkerEvent] = []
        self._incarnations: dict[int, int] = {}
        self._timed: set[RayWorker] = set()
        self._settling: set[RayWorker] = set()
        self._false_starts = 0

    def obey(self, commands: Sequence[WorkerCommand]) -> None:
        """Carry out orders; a trial whose configuration can't be sent fails by an event of the next `poll`.

        Raises:
            ResourceError: no node can ever meet what a trial asks for.
        """
        begun = []
        for command in commands:
            if isinstance(command, Start):
                begun.append(self._begin(command))
                continue
            worker = self._staff.running.get(command.trial)
            if worker is None or worker.incarnation != command.incarnation or worker.last is not None:
                self._withdraw(command)
            elif isinstance(command, Continue):
                if worker.owed > 0:
                    self._answer(worker, SAVE if command.save else CONTINUE)
            elif isinstance(command, Stop):
                self._tell_to_end(worker, STOP, command.grace_s, "stop")
            elif isinstance(command, Pause):
                self._pause(worker, command)
            elif isinstance(command, Kill):
                worker.overdue = command.failure
                self._kill(worker)
        for demand in {demand.key: demand for demand in begun if demand is not None}.values():
            self._staff.match(demand)

    def poll(self, timeout: float | None) -> Sequence[WorkerEvent]:
        """Return all that has arrived.

        Raises:
            WorkerError: the job can't be loaded in a worker, or workers can't be started any more.
        """
        if not self._is_open:
            return []
        if self._queue:
            timeout = 0
        for number, kind, payload in self._board.poll(self._until_next(timeout)):
            worker = self._crew.workers.get(number)
            if worker is not None:
                self._take(worker, kind, payload)
        self._hear_of_ends()
        if self._timed or self._settling:
            self._end_overdue()
        self._nodes.look_after()
        for waiting, count in self._staff.waiting.due():
            self._explain_waiting(waiting, count)
        events, self._queue = self._queue, []
        return events

    def wake(self) -> None:
        """Make a `poll` under way return."""
        if self._is_open:
            self._board.wake()

    def close(self, grace_s: float = 5.0) -> None:
        """End every worker. Those that run are told to stop and have `grace_s` seconds."""
        if not self._is_open:
            return
        try:
            self._end_workers(grace_s)
        except WorkerError:  # there are none any more
            pass
        finally:
            self._is_open = False
            self._closing.close()

    def _end_workers(self, grace_s: float) -> None:
        staff = self._staff
        staff.is_closing = True
        try:
            for worker in list(staff.running.values()):
                if grace_s > 0 and worker.last is None:
                    self._tell_to_end(worker, STOP, grace_s, "stop")
            until = time.monotonic() + grace_s
            while staff.running and (left := until - time.monotonic()) > 0:
                self.poll(left)
        finally:
            for reservation in list(self._crew.reservations):
                self._crew.give_back(reservation)
        until = time.monotonic() + _LEAVE_S
        while self._crew.workers and (left := until - time.monotonic()) > 0:
            self.poll(left)

    # -- orders

    def _begin(self, start: Start) -> Demand | None:
        """Let a trial wait for a worker, or return to the one that waits for it."""
        if self._incarnations.get(start.trial, 0) >= start.incarnation:
            return None
        self._incarnations[start.trial] = start.incarnation
        if start.parked:
            story = "The worker that kept the trial's state in memory is gone."
            self._queue.append(Lost(start.trial, start.incarnation, Failure("parked", story)))
            return None
        try:
            order = assignment(start, "")
        except NotPicklableError as error:
            self._queue.append(Failed(start.trial, start.incarnation, Failure("start", str(error))))
            return None
        waiting = Waiting(start, order, self._demand(start.allocation.resources), time.monotonic())
        if self._staff.return_to(waiting):
            return None
        self._staff.waiting.add(waiting)
        return waiting.demand

    def _demand(self, request: Resources) -> Demand:
        """Return what a trial asks for, in bundles.

        Raises:
            ResourceError: no node can ever meet it.
        """
        if not self._bundles:
            demand = Demand([request], "PACK")
        elif amounts(request) == amounts(together(self._bundles)):
            demand = Demand(self._bundles, self._strategy)
        else:
            raise ResourceError(
                f"A trial asks for {request.describe()}, and the executor's bundles are "
                f"{together(self._bundles).describe()} together. Pass "
                "resources_per_trial=executor.resources_per_trial."
            )
        if self._limit is None and not self._nodes.can_ever_hold(demand):
            raise refusal(demand, self._nodes.there())
        return demand

    def _withdraw(self, command: WorkerCommand) -> None:
        """End a trial that has no worker yet."""
        if not isinstance(command, (Stop, Pause, Kill)):
            return
        waiting = self._staff.waiting.withdraw(command.trial, command.incarnation)
        if waiting is None:
            return
        if isinstance(command, Kill):
            self._queue.append(Lost(command.trial, command.incarnation, command.failure))
        else:
            kind = Paused if isinstance(command, Pause) else Stopped
            self._queue.append(kind(command.trial, command.incarnation, waiting.start.checkpoint))

    def _pause(self, worker: RayWorker, command: Pause) -> None:
        if command.keep == "drop":
            worker.stays = self._takes_new_config
            self._tell_to_end(worker, DROP, command.grace_s, "give its state up")
        else:
            self._tell_to_end(worker, PAUSE, command.grace_s, "pause")

    def _tell_to_end(self, worker: RayWorker, answer: bytes, grace_s: float, what: str) -> None:
        if worker.hasten(what, grace_s, time.monotonic()):
            self._timed.add(worker)
        if worker.owed >= 0:
            self._answer(worker, answer)

    def _answer(self, worker: RayWorker, answer: bytes) -> None:
        worker.owed -= 1
        self._board.send(worker.index, answer)

    def _kill(self, worker: RayWorker) -> None:
        """End a worker, stopped or not, with all that it has started; `poll` hears of it when it is gone."""
        self._timed.discard(worker)
        worker.doomed = True
        self._crew.give_back(worker.reservation)  # a process that is stopped does not hear of anything less

    # -- what comes

    def _take(self, worker: RayWorker, kind: int, payload: bytes) -> None:
        if kind in (wire.EVENT, wire.LAST_REPORT):
            self._take_event(worker, kind, wire.decode_event(payload))
        elif kind == wire.READY:
            self._false_starts = 0
            self._staff.is_free(worker)
        elif kind == HELLO:
            worker.hello = decode_hello(payload)
        elif kind == wire.REFUSED:
            self._refused(worker, wire.decode_refused(payload))
        elif kind == CLOSED:
            worker.hung_up = True
            self._settle(worker)

    def _take_event(self, worker: RayWorker, kind: int, event: WorkerEvent) -> None:
        if event.trial != worker.trial or event.incarnation != worker.incarnation:
            return
        if type(event) in _ENDS:
            if type(event) is not Failed or not worker.doomed:  # being killed may raise something in it
                self._trial_ended(worker, event)
            return
        if kind == wire.EVENT and type(event) is Reported:
            worker.owed += 1
        elif type(event) is Started:
            worker.started = event
        self._queue.append(event)

    def _trial_ended(self, worker: RayWorker, event: WorkerEvent) -> None:
        if type(event) is not Failed and not worker.doomed and (self._reuse or worker.stays):
            trial, stays = worker.trial, worker.stays
            self._dissolve(worker, event)
            self._timed.discard(worker)
            worker.forget_trial()
            if stays:
                self._staff.stay(worker, trial)
            else:
                worker.reservation.busy = False
                self._staff.is_free(worker)
            return
        worker.last = event
        worker.deadline = None
        self._timed.discard(worker)
        if type(event) in _OVER and not worker.exclusive:
            # It has nothing left to do but to leave, and its CPUs need not wait for that.
            self._dissolve(worker, event)
            worker.trial = -1
        self._crew.dismiss(worker)
        if worker.trial < 0:
            self._staff.vacate(worker.reservation)

    def _dissolve(self, worker: RayWorker, event: WorkerEvent) -> None:
        """Take the trial of a worker off the list, with its last event."""
        del self._staff.running[worker.trial]
        self._queue.append(event)

    def _refused(self, worker: RayWorker, refused: wire.Refused) -> None:
        if not refused.traceback:
            raise WorkerError(
                f"Trials can't run on every node: {refused.message}. Checkpoints and results have to be where all of "
                "them can be found: put storage_path= on a file system that all nodes share, or make it a URL, such "
                "as s3://bucket/folder."
            )
        where = worker.hello.node_ip if worker.hello else "a node"
        raise WorkerError(
            f"The trainable can't be loaded in a worker on {where}: {refused.message}. What it imports has to be "
            "there: install it on the nodes, or send it along with RayExecutor(runtime_env={'working_dir': '.', "
            f"'pip': [...]}}).\n{refused.traceback}"
        )

    # -- ends

    def _hear_of_ends(self) -> None:
        while self._crew.ended:
            number, news = self._crew.ended.popleft()
            worker = self._crew.workers.get(number)
            if worker is not None:
                worker.news.append(news)
                self._settle(worker)

    def _settle(self, worker: RayWorker) -> None:
        """Strike a worker off when both have told of its end: Ray, and its connection, in which words may be left."""
        if worker.news and (worker.hung_up or worker.hello is None):
            self._gone(worker)
        elif worker.settle_by is None:
            worker.settle_by = time.monotonic() + _SETTLE_S
            self._settling.add(worker)

    def _gone(self, worker: RayWorker) -> None:
        """Strike a worker off, and with it, unless it was meant to go, its place, whose node may be gone."""
        self._settling.discard(worker)
        self._timed.discard(worker)
        self._board.drop(worker.index)
        self._staff.strike(worker)
        news, reservation, had_trial = worker.news[0] if worker.news else None, worker.reservation, worker.trial >= 0
        if had_trial:
            event = worker.last
            if event is None:
                stderr = Path(self._path, worker.folder, "stderr")
                failure = explain_loss(news, self._where(worker), worker.overdue, stderr)
                event = Lost(worker.trial, worker.incarnation, failure)
            self._dissolve(worker, event)
        if not worker.doomed:
            if worker.hello is not None:
                self._nodes.suspect(worker.hello.node_id)
            if not worker.ready and not worker.is_used and not node_died(news):
                self._false_start(news)
            if had_trial or not reservation.busy:
                self._crew.give_back(reservation)
            self._crew.dismiss(worker)  # where its word alone is lost
        if self._staff.is_closing:
            return
        if had_trial and not reservation.is_gone:
            self._staff.vacate(reservation)
        else:
            self._staff.match(reservation.demand)

    def _where(self, worker: RayWorker) -> str:
        return worker.hello.node_ip if worker.hello else "its node"

    def _false_start(self, news: BaseException | None) -> None:
        """Give up when workers don't come up at all."""
        self._false_starts += 1
        if is_hopeless(news) or self._false_starts > _FALSE_STARTS:
            raise WorkerError(
                f"No worker comes up on the Ray cluster: {news}\nThe nodes need Python and Ray of the same versions as "
                "here, and tunesmith: install it there, or send it along with RayExecutor(runtime_env={'pip': "
                "['tunesmith']})."
            ) from news

    # -- time

    def _until_next(self, timeout: float | None) -> float | None:
        """Return how long to wait at most."""
        times = [] if timeout is None else [timeout]
        times += [seconds for seconds in (self._staff.waiting.look_in(), self._nodes.look_in()) if seconds is not None]
        if self._timed or self._settling:
            now = time.monotonic()
            times += [max(0.0, each.deadline - now) for each in self._timed if each.deadline is not None]
            times += [max(0.0, each.settle_by - now) for each in self._settling if each.settle_by is not None]
        return min(times, default=None)

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for worker in list(self._timed):
            if worker.deadline is not None and worker.deadline <= now:
                self._kill(worker)
        for worker in list(self._settling):
            if worker.settle_by is not None and worker.settle_by <= now:
                self._gone(worker)

    def _explain_waiting(self, waiting: Waiting, count: int) -> None:
        placed = self._staff.is_placed(waiting.demand)
        text = reason(waiting, count, placed=placed, nodes=self._nodes.there(), free=self._cluster.free())
        if text:
            self._staff.waiting.say([text])


def _marked(job: Job) -> str:
    """Return the token by which workers know the experiment's folder, which is put there; empty if it may be any."""
    if job.remote is not None:  # what trials keep goes elsewhere
        return ""
    try:
        Path(job.path).mkdir(parents=True, exist_ok=True)
        return marked(job.path)
    except OSError as error:
        raise StorageError(f"The experiment's folder can't be written: {error}") from error


def _grown(there: Resources, limit: Resources) -> Resources:
    """Return what there may be in all once the cluster has grown to its limit."""
    return Resources(max(there.cpu, limit.cpu), max(there.gpu, limit.gpu), {**there.named, **limit.named})
