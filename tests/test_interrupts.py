import os
import signal
import threading

import pytest

from tunesmith.interrupts import Interrupts


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_the_first_signal_is_a_wish_that_wakes_the_driver() -> None:
    woken: list[bool] = []
    with Interrupts(lambda: woken.append(True)) as interrupts:
        interrupt(signal.SIGTERM)
    assert interrupts.read() == "SIGTERM"
    assert interrupts.status == 128 + signal.SIGTERM
    assert woken == [True]


def test_the_second_signal_interrupts_on_the_spot_and_the_first_one_stays_the_reason() -> None:
    with Interrupts(lambda: None) as interrupts:
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt(signal.SIGTERM)
    assert interrupts.read() == "Ctrl-C"
    assert interrupts.status is None


@pytest.mark.parametrize("before", [0, 1, 2])
def test_while_the_end_is_under_way_one_more_signal_passes_and_the_next_one_does_not(before: int) -> None:
    with Interrupts(lambda: None) as interrupts:
        try:
            for _ in range(before):
                interrupt()
        except KeyboardInterrupt:
            pass
        interrupts.hold()
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(lambda: None):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_nothing_is_caught_outside_of_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def elsewhere() -> None:
        with Interrupts(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts(lambda: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
