"""Which trial works where on a Ray cluster: brings those that wait and the workers together."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tunesmith.executors.ray_crew import Crew, RayWorker, Reservation
from tunesmith.executors.ray_demand import Demand
from tunesmith.executors.ray_queue import Queue, Waiting
from tunesmith.worker import wire


class Staff:
    """The workers by what they do: those with a trial, idle ones, and those that stay for their trial's next start.

    Args:
        crew: hires workers and lets them go.
        send: sends bytes to a worker, by its number.
        reuse: whether workers take one trial after another.
        start_ahead: whether the next worker of a place is started while its trial runs, where they don't.
    """

    def __init__(self, crew: Crew, send: Callable[[int, bytes], None], *, reuse: bool, start_ahead: bool) -> None:
        self.crew = crew
        self.waiting = Queue()
        self.running: dict[int, RayWorker] = {}  # by trial
        self.is_closing = False
        self._send = send
        self._reuse = reuse
        self._start_ahead = start_ahead and not reuse
        self._idle: dict[object, list[RayWorker]] = {}
        self._staying: dict[int, RayWorker] = {}

    def match(self, demand: Demand) -> None:
        """Give waiting trials the workers that are free, and have as many more hired as are lacking."""
        self._take_idle(demand)
        if not self.waiting.count(demand) or self.is_closing:
            return
        for trial, worker in list(self._staying.items()):  # what they hold is free in the driver's books
            if worker.reservation.demand.key == demand.key and self.waiting.count(demand):
                self._dissuade(trial)
        lacking = self.waiting.count(demand)
        free = [each for each in self.crew.reservations if not each.busy and each.demand.key == demand.key]
        for reservation in free[:lacking]:
            if reservation.fresh() is None:
                self.crew.hire(reservation)
        if lacking > len(free):
            self._dismiss_others(demand)
            for _ in range(lacking - len(free)):
                self.crew.reserve(demand)

    def is_free(self, worker: RayWorker) -> None:
        """Let a worker have the next trial, unless its place is another one's."""
        worker.ready = True
        if not worker.reservation.busy and not worker.reservation.is_gone:
            self._idle.setdefault(worker.reservation.demand.key, []).append(worker)
            self._take_idle(worker.reservation.demand)
            self._make_room(worker.reservation)

    def vacate(self, reservation: Reservation) -> None:
        """Let the next trial have a place: with the worker that was started ahead, if that is ready."""
        self._leave_to_the_next(reservation)
        self.match(reservation.demand)
        self._make_room(reservation)

    def stay(self, worker: RayWorker, trial: int) -> None:
        """Have a worker wait for its trial's next start, unless others wait for places."""
        self._staying[trial] = worker
        reservation = worker.reservation
        if self.waiting.count(reservation.demand) or self.waiting.has_others(reservation.demand):
            self._dissuade(trial)
            self.match(reservation.demand)
            self._make_room(reservation)

    def return_to(self, waiting: Waiting) -> bool:
        """Give a trial the worker that has stayed for it; False if there is none that will do."""
        trial = waiting.start.trial
        worker = self._staying.get(trial)
        if worker is None:
            return False
        if worker.reservation.demand.key != waiting.demand.key:
            self._dissuade(trial)
            return False
        del self._staying[trial]
        self._assign(worker, waiting)
        return True

    def strike(self, worker: RayWorker) -> None:
        """Forget a worker that is gone."""
        idle = self._idle.get(worker.reservation.demand.key, [])
        if worker in idle:
            idle.remove(worker)
        self._staying = {trial: other for trial, other in self._staying.items() if other is not worker}
        self.crew.forget(worker)

    def is_placed(self, demand: Demand) -> bool:
        """Whether Ray has found nodes for any that is to come."""
        return any(
            each.is_placed() for each in self.crew.reservations if not each.busy and each.demand.key == demand.key
        )

    def _take_idle(self, demand: Demand) -> None:
        idle = self._idle.get(demand.key, [])
        while idle and self.waiting.count(demand):
            self._assign(idle.pop(), self.waiting.next(demand))

    def _make_room(self, reservation: Reservation) -> None:
        """Give a place back that nobody wants while trials of another kind wait for theirs."""
        if reservation.busy or reservation.is_gone:
            return
        if self.waiting.has_others(reservation.demand) and not self.waiting.count(reservation.demand):
            self._give_back(reservation)

    def _give_back(self, reservation: Reservation) -> None:
        idle = self._idle.get(reservation.demand.key, [])
        idle[:] = [worker for worker in idle if worker.reservation is not reservation]
        self.crew.give_back(reservation)

    def _dissuade(self, trial: int) -> None:
        """Take back a worker that has stayed for a trial: it is free for any, or leaves."""
        worker = self._staying.pop(trial)
        if self._reuse:
            worker.reservation.busy = False
            self.is_free(worker)
        else:
            self.crew.dismiss(worker)
            self._leave_to_the_next(worker.reservation)

    def _leave_to_the_next(self, reservation: Reservation) -> None:
        """Let the worker that was started ahead in a place have it, if it is ready; else it will when it is."""
        reservation.busy = False
        following = reservation.fresh()
        if following is not None and following.ready:
            self.is_free(following)

    def _dismiss_others(self, demand: Demand) -> None:
        """Give back what is reserved for trials of another kind, none of which waits."""
        for trial, worker in list(self._staying.items()):
            if worker.reservation.demand.key != demand.key:
                self._dissuade(trial)
        for reservation in list(self.crew.reservations):
            other = reservation.demand
            if other.key != demand.key and not reservation.busy and not self.waiting.count(other):
                self._give_back(reservation)

    def _assign(self, worker: RayWorker, waiting: Waiting) -> None:
        start, order, visible = waiting.start, waiting.order, worker.hello.visible if worker.hello else ""
        if visible:
            order = wire.encode(msgspec.structs.replace(wire.decode_assignment(order), visible=visible))
        worker.ready = False
        worker.is_used = worker.reservation.busy = True
        worker.trial = start.trial
        worker.incarnation = start.incarnation
        worker.folder = start.folder
        worker.exclusive = bool(worker.reservation.demand.held)
        self.running[start.trial] = worker
        self._send(worker.index, wire.ASSIGN + wire.ASSIGNED.pack(len(order)) + order)
        if self._start_ahead and not worker.exclusive and worker.reservation.fresh() is None:
            self.crew.hire(worker.reservation)
