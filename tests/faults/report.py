"""Words for what was played: a failed round, and the table of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.plan import SCHEDULERS
from tests.faults.round import Outcome


def describe(outcome: Outcome, place: Path) -> str:
    """Say what is wrong with a round, and how to play it again."""
    plan = outcome.plan
    exact = plan.settings.workers == 1 and all(fault.repeatable for fault in outcome.fired)
    how = "the kills come at the same instants" if exact else "workers or kills that run freely: at about the same ones"
    return "\n".join(
        [
            f"Round {plan.seed} failed. Its folder is {place}. To play it again ({how}):",
            f"  python -m tests.faults --rounds 1 --seed {plan.seed}",
            f"  {plan.settings}",
            *(f"  fault: {fault}{'' if fault in outcome.fired else ' (did not strike)'}" for fault in plan.faults),
            *(f"  wrong: {sentence}" for sentence in outcome.found.wrong[:8]),
        ]
    )


def summarise(outcomes: Sequence[Outcome]) -> str:
    """Return the report of many rounds."""
    total: Counter[str] = Counter()
    for outcome in outcomes:
        found = outcome.found
        total += Counter(
            kills=len(outcome.fired), starts=outcome.starts, resumes=found.resumes, compared=outcome.compared,
            acknowledged=found.acknowledged, reports=found.reports, redone=found.redone, decisions=found.decisions,
            checkpoints=found.checkpoints, left=found.left_over, wrong=len(found.wrong), failed=outcome.failed,
        )  # fmt: skip
    rounds = Counter(outcome.plan.settings.scheduler for outcome in outcomes)
    failed = Counter(outcome.plan.settings.scheduler for outcome in outcomes if outcome.failed)
    faults = Counter((fault.point, fault.who) for outcome in outcomes for fault in outcome.fired)
    longest = max((outcome.gone_s for outcome in outcomes), default=0.0)
    return "\n".join(
        [
            f"{len(outcomes)} rounds, {total['failed']} failed: {total['starts']} starts, {total['kills']} kills,"
            f" {total['resumes']} resumes of a record.",
            f"{total['acknowledged']} acknowledged reports of {total['reports']} recorded, {total['redone']} of them"
            f" done again after a kill; {total['decisions']} decisions the same on a twin; {total['compared']} rounds"
            " the same as a run that was left alone.",
            f"{total['checkpoints']} checkpoints whole; {total['left']} left over that no record names.",
            f"No process outlived its driver by more than {longest:.2f} s where that was waited for.",
            f"Violations: {total['wrong']}.",
            "",
            "| scheduler | rounds | failed |",
            "|---|---|---|",
            *(f"| {name} | {rounds[name]} | {failed[name]} |" for name in SCHEDULERS if rounds[name]),
            "",
            "| point | who was killed | times |",
            "|---|---|---|",
            *(f"| {point} | {who} | {times} |" for (point, who), times in sorted(faults.items())),
        ]
    )
