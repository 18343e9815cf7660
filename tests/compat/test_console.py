"""What is printed (1.9)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.compat.stage import HEAD, act, play
from tunesmith.compat.ray.console import _share, _shortened
from tunesmith.compat.ray.result import pretty_print

STAMP = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\t(INFO|WARNING|ERROR) \w+\.py:\d+ -- "


def test_a_status_has_its_lines_in_order(tmp_path: Path) -> None:
    played = act(tmp_path, "ray.init(num_cpus=2)\nrun(Count, num_samples=3, stop={'training_iteration': 2})")
    assert re.fullmatch(
        r"Using FIFO scheduling algorithm\.\n"
        r"Resources requested: 0/2 CPUs, 0/0 GPUs\n"
        r"(Memory usage on this node: [\d.]+/[\d.]+ GB( \*\*\*LOW MEMORY\*\*\*)?\n)?"
        rf"Result logdir: {re.escape(str(tmp_path))}/ray_results/Count\n"
        r"Number of trials: 3 \(\{'TERMINATED': 3\}\)\n"
        r"TERMINATED trials:\n"
        r"( - Count_\d:\tTERMINATED, \[1 CPUs, 0 GPUs\], \[pid=\d+\], 0 s, 2 iter, 2 rew\n){3}\n",
        played.last_status(),
    )


def test_states_are_in_the_order_of_the_alphabet_and_counted_in_that_of_their_coming(tmp_path: Path) -> None:
    played = act(tmp_path, "ray.init(num_cpus=2)\nrun(Count, num_samples=4, stop={'training_iteration': 2})")
    second = played.out.split("== Status ==\n")[2]
    assert "Resources requested: 2/2 CPUs, 0/0 GPUs\n" in second
    assert "Number of trials: 4 ({'RUNNING': 2, 'PENDING': 2})\n" in second
    assert second.index("PENDING trials:\n") < second.index("RUNNING trials:\n")
    assert " - Count_2:\tPENDING\n - Count_3:\tPENDING\n" in second


@pytest.mark.parametrize(("verbose", "statuses", "results"), [(0, 0, 0), (1, 3, 0), (2, 3, 1)])
def test_verbose_says_what_is_printed(tmp_path: Path, verbose: int, statuses: int, results: int) -> None:
    body = "import tunesmith.compat.ray.console as console\nconsole._STATUS_EVERY_S = 3600\n"  # however slow it is here
    played = act(tmp_path, body + f"run(Count, stop={{'training_iteration': 1}}, verbose={verbose})")
    assert played.out.count("== Status ==\n") == statuses
    assert played.out.count("Result for Count_0:\n") == results


def test_results_are_shown_now_and_then_and_the_last_one_always(tmp_path: Path) -> None:
    played = act(tmp_path, "run(Count, stop={'training_iteration': 50})")
    shown = re.findall(r"^  training_iteration: (\d+)$", played.out, re.MULTILINE)
    assert shown[0] == "1"
    assert shown[-1] == "50"
    assert len(shown) < 10
    assert "  done: true\n" in played.out


def test_log_lines_have_the_form_of_2019(tmp_path: Path) -> None:
    played = act(tmp_path, "run(Count, stop={'training_iteration': 1}, verbose=0)")
    assert re.search(STAMP + r"Did not find checkpoint file in .*/Count\.$", played.err, re.MULTILINE)
    assert re.search(STAMP + r"Starting a new experiment\.$", played.err, re.MULTILINE)
    assert re.search(
        STAMP + r"Destroying actor for trial Count_0\. If your trainable is slow to initialize, consider setting "
        r"reuse_actors=True to reduce actor creation overheads\.$",
        played.err,
        re.MULTILINE,
    )


def test_a_failure_is_told_and_stands_in_the_trials_line(tmp_path: Path) -> None:
    body = """
def bad(config, reporter):
    reporter(mean_loss=1)
    raise RuntimeError("no luck")
run(bad)
"""
    played = play(tmp_path, HEAD + body)
    assert re.search(
        STAMP + r"Error processing event\. Trial bad_0 has failed: RuntimeError: no luck$", played.err, re.MULTILINE
    )
    (line,) = played.trials().values()
    assert re.match(r"ERROR, 1 failure: .*/error_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.txt, \[1 CPUs, 0 GPUs\], ", line)


def test_a_trials_line_has_what_was_reported(tmp_path: Path) -> None:
    body = """
def train(config, reporter):
    reporter(mean_loss=0.123456, mean_accuracy=0.5, episode_reward_mean=1234.5, timesteps_total=7)
run(train)
"""
    (line,) = act(tmp_path, body).trials().values()
    assert line.endswith("0 s, 1 iter, 7 ts, 1.23e+03 rew, 0.123 loss, 0.5 acc")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"b": 1, "a": None, "config": {"x": 1}}, "b: 1\n"),
        ({"x": {"z": [1, 2], "y": {}}, "w": []}, "w: []\nx:\n  y: {}\n  z:\n  - 1\n  - 2\n"),
        ({"f": 5e-05, "g": 1e16, "h": 0.1}, "f: 5.0e-05\ng: 1.0e+16\nh: 0.1\n"),
        ({"n": float("nan"), "i": float("-inf"), "t": True}, "i: -.inf\nn: .nan\nt: true\n"),
        ({"date": "2019-04-21_16-54-53", "s": "yes", "e": ""}, "date: 2019-04-21_16-54-53\ne: ''\ns: 'yes'\n"),
        ({"q": "it's: here", "l": [{"a": 1, "b": 2}]}, "l:\n- a: 1\n  b: 2\nq: 'it''s: here'\n"),
    ],
)
def test_a_result_is_printed_as_yaml(result: dict[str, Any], text: str) -> None:
    assert pretty_print(result) == text


def test_twenty_lines_are_shared_fairly() -> None:
    assert _share(20, {"PENDING": 29, "RUNNING": 1}) == {"RUNNING": 1, "PENDING": 19}
    assert _share(20, {"PENDING": 30, "RUNNING": 30}) == {"PENDING": 10, "RUNNING": 10}
    assert _share(20, {"A": 3, "B": 4}) == {"A": 3, "B": 4}


def test_what_is_not_shown_is_counted() -> None:
    lines = [str(i) for i in range(29)]
    assert _shortened(lines, 19) == [*lines[:9], "  ... 11 not shown", *lines[-9:]]
    assert _shortened(lines[:19], 19) == lines[:19]
