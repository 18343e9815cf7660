"""The workers on a Ray cluster: what is reserved for them, their actors, and news of their ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from tunesmith.executors.ray_actor import Post, TrialActor, actor_name
from tunesmith.executors.ray_demand import Demand
from tunesmith.executors.ray_link import Hello
from tunesmith.executors.slots import Slot

_SMALL: Final = 1 << 18  # a job of so many bytes goes to the workers with their class


class Reservation:
    """A place for one trial at a time: a placement group, its present worker, and one that is started ahead.

    `busy` is true while a trial has it; `is_gone` when it has been given back.
    """

    __slots__ = ("busy", "demand", "group", "is_gone", "workers")

    def __init__(self, demand: Demand, group: Any) -> None:
        self.demand = demand
        self.group = group
        self.busy = False
        self.is_gone = False
        self.workers: list[RayWorker] = []

    def is_placed(self) -> bool:
        """Whether nodes have been found for it."""
        return self.group is None or bool(self.group.wait(0))

    def fresh(self) -> RayWorker | None:
        """Return the worker that has had no trial yet, if there is one."""
        return next((worker for worker in self.workers if not worker.is_used and not worker.doomed), None)


class RayWorker(Slot):
    """An actor and its trial. `index` is its number; `ready` says that it waits for trials, `is_used` that it had one.

    Two things tell of its end: `news`, what Ray says, and `hung_up`, that its connection is closed. `settle_by` is how
    long the one waits for the other, in seconds of the monotonic clock.
    """

    __slots__ = ("actor", "hello", "hung_up", "is_used", "news", "ready", "reservation", "settle_by")

    def __init__(self, number: int, reservation: Reservation, actor: Any) -> None:
        super().__init__(number, number)
        self.reservation = reservation
        self.actor = actor
        self.hello: Hello | None = None
        self.ready = self.is_used = self.hung_up = False
        self.news: list[BaseException | None] = []
        self.settle_by: float | None = None


class Crew:
    """Hires workers and lets them go.

    Args:
        post: what the workers have to know. A large job is put into Ray's object store, once.
        runtime_env: what the actors have to have, if not the whole job has it.
        wake: called, from a thread of Ray's, when there is news in `ended`.
    """

    def __init__(
        self,
        post: Post,
        runtime_env: Mapping[str, Any] | None,
        wake: Callable[[], None],
    ) -> None:
        import ray
        from ray.util import placement_group, remove_placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        self._kill = ray.kill
        self._make_group, self._remove_group = placement_group, remove_placement_group
        self._in_group = PlacementGroupSchedulingStrategy
        self._parcel: list[Any] = []  # what `serve` is called with
        if post.parcel is not None and post.parcel.size > _SMALL:
            self._parcel.append(ray.put(post.parcel))
            post = msgspec.structs.replace(post, parcel=None)
        self._run = post.secret.hex()[:8]
        self._runtime_env = {"runtime_env": dict(runtime_env)} if runtime_env else {}
        self._wake = wake
        self._actor_class = ray.remote(type("TrialActor", (TrialActor,), {"post": post}))
        self._count = 0
        self.workers: dict[int, RayWorker] = {}
        self.reservations: list[Reservation] = []
        self.ended: deque[tuple[int, BaseException | None]] = deque()

    def reserve(self, demand: Demand) -> Reservation:
        """Reserve what a trial needs, now or as soon as it is free, and hire a worker for it."""
        bundles = [bundle for bundle in demand.bundles if bundle]
        group = self._make_group(bundles, strategy=demand.strategy) if bundles else None
        reservation = Reservation(demand, group)
        self.reservations.append(reservation)
        self.hire(reservation)
        return reservation

    def hire(self, reservation: Reservation) -> RayWorker:
        """Start a worker in a reservation.

        It takes no CPUs of Ray's: its trial has the whole group, for tasks of its own, too, and the next worker can
        start before this one has left. GPUs are taken, since Ray says which ones, and other things with them.
        """
        number, demand = self._count, reservation.demand
        self._count += 1
        held = dict(demand.held)
        scheduling: Any = "DEFAULT"
        if reservation.group is not None:
            scheduling = self._in_group(
                reservation.group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
            )
        actor = self._actor_class.options(
            name=actor_name(self._run, number, demand.bundles[0].get("CPU", 0.0)),
            num_cpus=0,
            num_gpus=held.pop("GPU", 0),
            resources=held,
            max_restarts=0,
            scheduling_strategy=scheduling,
            **self._runtime_env,
        ).remote()
        worker = RayWorker(number, reservation, actor)
        self.workers[number] = worker
        reservation.workers.append(worker)
        answer = actor.serve.remote(*self._parcel)
        answer.future().add_done_callback(lambda done: self._tell(number, done))
        return worker

    def _tell(self, number: int, done: Any) -> None:
        """Note, in a thread of Ray's, that a worker's service is over."""
        self.ended.append((number, done.exception()))
        self._wake()

    def dismiss(self, worker: RayWorker) -> None:
        """End a worker; what it reserves stays reserved."""
        worker.doomed = True
        self._kill(worker.actor, no_restart=True)

    def give_back(self, reservation: Reservation) -> None:
        """End a reservation, and with it, surely, all workers that are in it."""
        if reservation.is_gone:
            return
        reservation.is_gone = True
        self.reservations.remove(reservation)
        for worker in reservation.workers:
            self.dismiss(worker)
        if reservation.group is not None:
            self._remove_group(reservation.group)

    def forget(self, worker: RayWorker) -> None:
        """Strike a worker that is gone off the lists."""
        del self.workers[worker.index]
        worker.reservation.workers.remove(worker)
