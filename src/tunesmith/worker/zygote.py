"""The zygote: a process that imports the user's code once and then starts a worker in milliseconds.

It is apart from the driver, whose threads, locks and CUDA context a fork must not inherit. It is also the one who
cleans up: workers and what they have started are its descendants, orphans come back to it, and when the driver is
gone, which it sees by the end of the control socket and by a signal from the kernel, it takes all of them along.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import select
import signal
import socket
import sys

# signal.signal wraps these in enumerations, and a fresh child has to copy all the memory that it touches.
from _signal import SIG_DFL, SIGCHLD, SIGTERM  # type: ignore[import-not-found]  # typeshed leaves the C module out
from _signal import signal as set_handler
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from tunesmith.worker import wire
from tunesmith.worker.failures import format_traceback
from tunesmith.worker.forking import RECORDING, Forks, Hooks
from tunesmith.worker.kernel import Kernel, kill_group
from tunesmith.worker.loading import load_job
from tunesmith.worker.process import Host, PipeChannel, Worker, quiet_start, trial_environment
from tunesmith.worker.rehearsal import rehearse, warm_up
from tunesmith.worker.spares import Spares, wait_for_order
from tunesmith.worker.wire import JobSheet

CONTROL, UP, JOB_FILE, FIRST = 3, 4, 5, 6  # descriptors: what a new process of ours finds where
_UNFORKABLE = ("jax", "tensorflow", "ray")
_SPARES = 2  # forked ahead, when nothing was to be done for a while
_QUIET_MS = 5  # that while: where trials come faster, forking ahead would only stand in their way


def zygote_program(path: list[str], argv: list[str]) -> str:
    """Return the program for ``python -c`` that is a zygote with the driver's own search path and arguments."""
    return f"{RECORDING}{_place(path, argv)}from tunesmith.worker.zygote import main\nmain(hooks, register)"


def worker_program(path: list[str], argv: list[str]) -> str:
    """Return the program for ``python -c`` that is a spawned worker."""
    return f"{_place(path, argv)}from tunesmith.worker.spawned import main\nmain()"


def _place(path: list[str], argv: list[str]) -> str:
    return f"import sys\nsys.path[:] = {path!r}\nsys.argv[:] = {argv!r}\n"


class Zygote:
    """Obeys the driver's orders until it is gone."""

    def __init__(self, control: socket.socket, up: int, kernel: Kernel, forks: Forks, path: list[str]) -> None:
        self._control = control
        self._up = up
        self._kernel = kernel
        self._forking = forks
        self._path = path
        self._host = Host()
        self._pid = os.getpid()
        self._descriptors: deque[int] = deque()
        self._buffer = b""
        self._down: dict[int, int] = {}  # slot -> reading end
        self._channels: dict[int, PipeChannel] = {}
        self._pids: dict[int, int] = {}  # worker -> slot
        self._slots: dict[int, int] = {}  # slot -> worker
        self._spares = Spares(0)
        self._killed: set[int] = set()
        self._helpers: frozenset[int] = frozenset()  # what importing the user's modules has started
        self._sheet: JobSheet | None = None
        self._worker: Worker | None = None
        self._job_file = -1
        self._forks = True
        self._is_loading = False
        self._children_ended, self._wakeup = os.pipe()

    def serve(self) -> NoReturn:
        """Work until the driver is gone, then leave nothing behind."""
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._children_ended, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self._control.fileno(), select.POLLIN)
        poller.register(self._children_ended, select.POLLIN)
        try:
            while True:
                ready = poller.poll(_QUIET_MS if self._spares.wanted() else None)
                if not ready:
                    self._fork_spare()
                for fd, _ in ready:
                    if fd == self._children_ended:
                        os.read(fd, 4096)
                        self._collect()
                    elif not self._obey():
                        self._leave()
        finally:  # a defect of this process must not leave any other behind
            self._leave()

    def driver_is_gone(self, *_: object) -> None:
        """Handle the kernel's signal. While the user's modules are imported nobody reads the orders, or their end."""
        if self._is_loading:
            self._leave()
        self._control.shutdown(socket.SHUT_RD)  # seen by the loop as the end of the orders

    # -- orders

    def _obey(self) -> bool:
        data, ancillary, _, _ = self._control.recvmsg(1 << 18, 4096, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        for _, kind, payload in ancillary:
            if kind == socket.SCM_RIGHTS:
                count = len(payload) // 4
                self._descriptors.extend(memoryview(payload[: count * 4]).cast("i"))
        if not data:
            return False
        data = self._buffer + data if self._buffer else data
        at, end = 0, len(data)
        while end - at >= wire.ORDER.size:
            kind, slot, length = wire.ORDER.unpack_from(data, at)
            body = at + wire.ORDER.size
            if end - body < length:
                break
            at = body + length
            self._carry_out(kind, slot, data[body:at])
        self._buffer = data[at:]
        return True

    def _carry_out(self, kind: int, slot: int, payload: bytes) -> None:
        if kind == wire.START:
            self._start(slot, payload)
        elif kind == wire.SLOT:
            if slot in self._down:
                os.close(self._down[slot])
            self._down[slot] = self._descriptors.popleft()
            self._channels[slot] = PipeChannel(self._up, self._down[slot], slot)
        elif kind == wire.KILL:
            pid = self._slots.get(slot)
            if pid is not None:
                self._killed.add(pid)
                kill_group(pid)
        elif kind == wire.JOB:
            self._take(wire.decode_sheet(payload))

    def _take(self, sheet: JobSheet) -> None:
        self._sheet = sheet
        self._job_file = self._descriptors.popleft()
        os.environ.update(sheet.environ)
        why = ""
        self._forks = (
            sheet.start != "spawn" and hasattr(os, "fork") and (sheet.start == "fork" or sys.platform == "linux")
        )
        self._is_loading = True
        try:
            # Where workers are spawned, each imports for itself; here it is tried out all the same, to fail early.
            if self._forks or not self._slots:
                job = load_job(sheet, self._job_file)
                self._worker = Worker(sheet, self._host, lambda: job)
        except BaseException as error:  # noqa: BLE001 - the user's modules may raise anything
            text = "".join(str(error).splitlines(keepends=True)[-3:])[:1000]
            refused = wire.Refused(f"{type(error).__name__}: {text}", format_traceback(error)[-2000:])
            os.write(self._up, wire.frame(wire.REFUSED, 0, wire.encode(refused)))
            return
        finally:
            self._is_loading = False
        if sheet.start == "auto" and self._forks:
            why = reason_against_fork()
            self._forks = not why
        if self._forks:
            rehearse(sheet, self._host)
        self._helpers = frozenset(self._kernel.children()).difference(self._pids)
        quiet_start()
        if self._forks and not sheet.reuse:
            self._spares.limit = _SPARES
        ready = wire.Ready("fork" if self._forks else "spawn", why)
        os.write(self._up, wire.frame(wire.READY, 0, wire.encode(ready)))

    # -- workers

    def _start(self, slot: int, assignment: bytes) -> None:
        try:
            pid = self._fork(slot, assignment) if self._forks else self._spawn(slot, assignment)
        except OSError as error:
            ended = wire.Ended(0, error.errno or 1, 0, False)
            os.write(self._up, wire.frame(wire.GONE, slot, wire.encode(ended)))
            return
        self._pids[pid] = slot
        self._slots[slot] = pid

    def _fork(self, slot: int, assignment: bytes) -> int:
        if self._worker is None:
            raise OSError(errno.ESRCH, "no job")
        pid = self._spares.hand_over((slot, self._down[slot], assignment))
        if pid is not None:
            return pid
        worker, channel, order = self._worker, self._channels[slot], wire.decode_assignment(assignment)
        worker.show(order.visible, order.cpu)
        return self._forking.fork() or self._be_worker(lambda: worker.run(channel, order))

    def _fork_spare(self) -> None:
        """Fork a worker that waits for its trial."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with its:
            try:
                pid = self._forking.fork()
            except OSError:  # no more processes now: the next trial will tell
                self._spares.limit = 0
                ours.close()
                return
            if pid == 0:
                ours.close()
                self._be_worker(lambda: self._await_trial(its))
        self._spares.add(pid, ours)

    def _await_trial(self, end: socket.socket) -> None:
        warm_up()
        order = wait_for_order(end)
        if order is not None and self._worker is not None:
            end.close()
            slot, down, assignment = order
            self._worker.run(PipeChannel(self._up, down, slot), wire.decode_assignment(assignment))

    def _be_worker(self, serve: Callable[[], None]) -> NoReturn:
        """Be, in a fresh child, a worker and nothing else."""
        try:
            os.setsid()
            self._kernel.become_worker()
            if os.getppid() != self._pid:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            set_handler(SIGCHLD, SIG_DFL)
            set_handler(SIGTERM, SIG_DFL)
            self._control.close()
            serve()
        except BaseException:  # noqa: BLE001 - a defect of this library: told in the trial's stderr or the log
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _spawn(self, slot: int, assignment: bytes) -> int:
        sheet = self._sheet
        if sheet is None:
            raise OSError(errno.ESRCH, "no job")
        reader, writer = os.pipe()
        wanted = wire.decode_assignment(assignment)
        environ = {**os.environ, **trial_environment(wanted.visible, wanted.cpu, sheet.fixed)}
        code = worker_program(self._path, sys.argv)
        lifted = lift_descriptors([self._down[slot], self._up, self._job_file, reader])
        actions = [(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate(lifted, CONTROL)]
        try:
            pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], environ, file_actions=actions)
            os.write(writer, wire.encode(wire.SpawnOrder(slot, sheet, assignment)))
        finally:
            for fd in (*lifted, reader, writer):
                os.close(fd)
        return pid

    def _collect(self) -> None:
        """Collect the processes that have ended, end what they have left behind, and tell the driver."""
        frames = []
        while self._pids or self._spares.pids:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                break
            if info is None:
                break
            pid = info.si_pid
            slot = self._pids.pop(pid, -1)
            self._spares.remove(pid)
            if slot >= 0:
                kill_group(pid)
            _, status, usage = os.wait4(pid, 0)
            if slot < 0:
                self._helpers = self._helpers.difference((pid,))
            else:
                del self._slots[slot]
                ended = wire.Ended(pid, status, usage.ru_maxrss, pid in self._killed)
                self._killed.discard(pid)
                frames.append(wire.frame(wire.GONE, slot, wire.encode(ended)))
        if frames:
            self._end_orphans()
            for start in range(0, len(frames), 64):  # 64 of them stay far below what is written in one piece
                os.write(self._up, b"".join(frames[start : start + 64]))

    def _end_orphans(self) -> None:
        """Kill the children that are no workers. They were left behind by one: while it lives, it adopts its own."""
        while True:
            mine = self._helpers.union(self._pids, self._spares.pids)
            orphans = [pid for pid in self._kernel.children() if pid not in mine]
            if not orphans:
                return
            for pid in orphans:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue

    def _leave(self) -> NoReturn:
        try:
            workers = [*self._pids, *self._spares.pids]
            self._spares.limit = 0
            for pid in workers:
                kill_group(pid)
            for pid in workers:
                os.waitpid(pid, 0)
                self._spares.remove(pid)
            self._pids.clear()
            self._helpers = frozenset()
            self._end_orphans()
        finally:
            os._exit(0)


def lift_descriptors(descriptors: list[int]) -> list[int]:
    """Return copies with high numbers, so that placing one at a low number can't overwrite another."""
    import fcntl

    return [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in descriptors]


def reason_against_fork() -> str:
    """Return why this process must not be forked, now that the user's modules are loaded; empty: it may be."""
    for name in _UNFORKABLE:
        if name in sys.modules:
            return f"{name} is imported, which does not survive a fork"
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and getattr(cuda, "is_initialized", bool)():
        return "CUDA was initialised while the trainable was imported, and does not survive a fork"
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        names = ", ".join(t.name for t in threading.enumerate() if t is not threading.main_thread())
        return f"threads were started while the trainable was imported ({names}), and a fork would lose them"
    return ""


def main(hooks: Hooks, register: Callable[..., None]) -> NoReturn:
    """Be the zygote. The arguments are what `tunesmith.worker.forking.RECORDING` has made."""
    os.setsid()
    kernel = Kernel()
    kernel.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=CONTROL)
    for fd in (CONTROL, UP):
        os.set_inheritable(fd, False)
    zygote = Zygote(control, UP, kernel, Forks(hooks, register), list(sys.path))
    signal.signal(signal.SIGTERM, zygote.driver_is_gone)
    kernel.die_with_parent(signal.SIGTERM)
    faulthandler.enable()
    zygote.serve()
