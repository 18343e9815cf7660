"""Population based training: the worse trials go on from the state of better ones, with changed hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final

from tunesmith.errors import ArgumentError, MetricError
from tunesmith.events import Changed, Cloned, Event, Judged, Placed, Reopened, Reported, Saved, SessionOpened, Suggested
from tunesmith.objective import Mode, Objective
from tunesmith.schedulers.explore import Explored, Explorer
from tunesmith.schedulers.population import Member, Population
from tunesmith.schedulers.protocol import CONTINUE, Change, Decision, Exploit, Scheduler, TrialView, View
from tunesmith.schedulers.reading import Clock, as_reported, shown
from tunesmith.schedulers.rounds import Rounds
from tunesmith.schedulers.rules import RULES_TODAY, Rules
from tunesmith.streams import stream
from tunesmith.trial import Status

_CLONEABLE: Final = frozenset({Status.PENDING, Status.RUNNING, Status.PAUSED})
_ON_ITS_WAY: Final = (Placed, Cloned, Changed)  # after these, a trial is not to be replaced any more


class PopulationBasedTraining(Scheduler):
    """Train a population and, at intervals, let its worst go on from copies of its best, perturbed.

    Each trial comes to a perturbation at every `perturbation_interval`. If it is among the best then, it saves its
    state. If it is among the worst, it gives its own state up and goes on from that of one of the best, drawn at
    random from those that have saved theirs (the exploit), with hyperparameters that were changed a little (the
    explore). If all of these are just being saved, it waits for the first. If none of the best has a checkpoint that
    holds what it was ranked by, the trial goes on from its own state. A class trainable saves itself when it is told
    to; a function has to report a checkpoint at each perturbation.

    A trial is compared with what the others were at their own last perturbation. So where values improve by more from
    one perturbation to the next than they differ between trials, those that come first look good; `synch` compares all
    at the same time.

    When trials wait for a place, each that comes to a perturbation gives its own away, and the one that is furthest
    behind is started. A value that is not finite is the worst, and nobody goes on from its trial.

    A function of the user's that raises ends neither the run nor the trial: the trial goes on from its own state, and
    its decisions and the status display say why.

    Args:
        time_attr: the measure of progress, a reported number that grows: ``training_iteration``, ``time_total_s`` or
            one of the user's own.
        metric: what to compare; the run's own metric by default.
        mode: ``"min"`` or ``"max"``; the run's own by default.
        perturbation_interval: from one perturbation of a trial to the next, above 0, in units of `time_attr`.
        burn_in_period: before it there is no perturbation; 0 or more, in units of `time_attr`.
        hyperparam_mutations: what may change, by name, nested as the configuration is. A list: to a neighbour in it.
            A domain such as ``tune.loguniform(1e-4, 1e-1)`` or a function that returns a value: by one of the factors,
            within the domain's range.
        quantile_fraction: which share of the trials are the best, and the worst; from 0 (none) to 0.5. Rounded up.
        resample_probability: how often a value is drawn anew from its list, domain or function instead; from 0 to 1.
        perturbation_factors: by one of these, drawn at random, a number is multiplied; above 0.
        custom_explore_fn: is given the new configuration and returns the one to be used. It may change and add values,
            but not remove any.
        synch: whether all trials come to a perturbation before any goes on. They pause until then.
        rules: `RULES_TODAY`, or `RULES_2019` for the perturbations of Ray Tune 0.6.5 and its log lines as the reasons.

    Raises:
        ArgumentError: a number is out of its range, or nothing says what may change.

    Source: Jaderberg et al., Population Based Training of Neural Networks, arXiv 1711.09846 (2017): truncation
    selection, and perturbation by factors.

    >>> scheduler = PopulationBasedTraining(
    ...     "training_iteration", "loss", "min", perturbation_interval=5, hyperparam_mutations={"batch_size": [16, 32]}
    ... )
    """

    log_config = True  # whether a run writes down who became a clone of whom: see `PolicyFiles`

    def __init__(  # noqa: PLR0917 - the order of Tune's arguments
        self,
        time_attr: str = "time_total_s",
        metric: str | None = None,
        mode: Mode | None = None,
        perturbation_interval: float = 60.0,
        burn_in_period: float = 0.0,
        hyperparam_mutations: Mapping[str, Any] | None = None,
        quantile_fraction: float = 0.25,
        resample_probability: float = 0.25,
        perturbation_factors: tuple[float, ...] = (1.2, 0.8),
        custom_explore_fn: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        *,
        synch: bool = False,
        rules: Rules = RULES_TODAY,
    ) -> None:
        super().__init__(metric, mode)
        if not hyperparam_mutations and custom_explore_fn is None:
            raise ArgumentError(
                f"{type(self).__name__} has nothing to change: say what may change with hyperparam_mutations=, such as"
                ' {"lr": tune.loguniform(1e-4, 1e-1)}, or give a custom_explore_fn=.'
            )
        _check_number("perturbation_interval", perturbation_interval, above=0)
        _check_number("burn_in_period", burn_in_period)
        _check_number("quantile_fraction", quantile_fraction, most=0.5)
        self.time_attr, self.quantile_fraction, self.synch, self.rules = time_attr, quantile_fraction, synch, rules
        self.perturbation_interval, self.burn_in_period = perturbation_interval, burn_in_period
        self.num_checkpoints = self.num_perturbs = 0
        self._explorer = Explorer(
            hyperparam_mutations,
            resample_probability=resample_probability,
            factors=perturbation_factors,
            custom=custom_explore_fn,
            truncates=rules.pbt_truncates,
        )
        self._time = Clock(time_attr)
        self._population = Population(quantile_fraction)
        self._first_due = max(perturbation_interval, burn_in_period)
        self._rounds = Rounds(self._population, self._first_due, perturbation_interval) if synch else None
        self._saving: dict[int, None] = {}  # who was told to save and has not answered
        self._holding: dict[int, set[int]] = {}  # who waits, and until which of those have answered
        self._can_save = True  # until somebody who was told to went on without
        self._complaint = ""
        self._trouble = CONTINUE  # with the last report
        self._is_due = self._is_late = False  # whether the last report came to a perturbation, or did not save at one
        self._saved: int | None = None  # who has saved just now

    def setup(self, objective: Objective | None, seed: int) -> None:
        """Take the run's objective and the seed."""
        super().setup(objective, seed)
        if self.objective is not None:  # which `super` has seen to
            self._goal = self.objective

    # -- the fold

    def apply(self, event: Event, trial: TrialView | None) -> None:
        """Fold an event: rank who comes to a perturbation, and follow who saves, waits and is cloned."""
        self._saved = None
        if type(event) is Reported:
            self._trouble, self._is_due = CONTINUE, False
            self._read(event, self._population.members[event.trial])
        elif trial is not None:
            self._follow(event, trial)
        elif type(event) is SessionOpened:
            self._reopen()

    def _read(self, report: Reported, member: Member) -> None:
        self._is_late = self._answer(report.trial, is_saved=False)
        if self._is_late:
            self._can_save = False
        if not report.metrics:
            return
        t = self._time(report)
        try:
            if not t >= member.due:
                return  # nine reports in ten
            score = self._goal.score(report.metrics)
        except TypeError:
            self._trouble = Decision("fail", self._time.complaint(report))
        except MetricError as error:
            self._trouble = Decision("fail", str(error))
        else:
            if member.trial.status is Status.RUNNING:  # else it is not judged, so the next report has to be
                self._rank(member, report, t, score)

    def _rank(self, member: Member, report: Reported, t: float, score: float) -> None:
        self._is_due = True
        self._population.rank(member, t, score, report.iteration)
        self.num_checkpoints += report.checkpoint is not None and self._population.is_best(member)
        if self._rounds is None:
            member.due = max(t + self.perturbation_interval, self.burn_in_period)
        elif not self._has_to_save(member, report):
            self._rounds.arrive(member)

    def _has_to_save(self, member: Member, report: Reported) -> bool:
        wanted = self.synch or self._population.is_best(member)
        return wanted and self._can_save and report.checkpoint is None and member.score > -inf

    def _follow(self, event: Event, trial: TrialView) -> None:
        number, kind = trial.number, type(event)
        if kind is Suggested or kind is Reopened:
            self._enter(trial)
        member = self._population.members[number]
        if kind is Cloned:
            self._clone(member, event)  # type: ignore[arg-type]  # narrowed by the line above
        elif kind is Judged:
            self._note(event)  # type: ignore[arg-type]  # as above
        if trial.saving:
            self._saving[number] = None
        else:
            self._answer(number, is_saved=kind is Saved)
        if not trial.held:
            self._holding.pop(number, None)
        elif number not in self._holding:
            self._holding[number] = set(self._saving)
        if self._rounds is not None:
            self._follow_round(event, member, self._rounds)
        if trial.status.is_final:
            self._leave(member)
        else:
            self._population.place(member)

    def _enter(self, trial: TrialView) -> None:
        member = self._population.members[trial.number] = Member(trial, self._first_due)
        if self._rounds is not None:
            self._rounds.expect(member)

    def _leave(self, member: Member) -> None:
        self._population.place(member)
        self._population.remove(member)
        if self._rounds is not None:
            self._rounds.leave(member.trial.number)

    def _clone(self, member: Member, event: Cloned) -> None:
        donor = self._population.members[event.donor]
        member.last, member.is_itself = donor.last, False
        if self._rounds is None:
            member.due = donor.due
        self.num_perturbs += 1
        self._complaint = ""

    def _note(self, event: Judged) -> None:
        if event.by == "scheduler" and event.action != "hold" and event.trial in self._holding:
            self._complaint = event.reason

    def _answer(self, trial: int, *, is_saved: bool) -> bool:
        """Note that a trial is not saving any more; return whether it was. Who waits is content with one that has."""
        if trial not in self._saving:
            return False
        del self._saving[trial]
        for awaited in self._holding.values():
            if is_saved:
                awaited.clear()
            else:
                awaited.discard(trial)
        if is_saved:
            self._saved = trial
            self.num_checkpoints += 1
        return True

    def _follow_round(self, event: Event, member: Member, rounds: Rounds) -> None:
        number = member.trial.number
        if number in rounds.closing and type(event) in _ON_ITS_WAY:
            del rounds.closing[number]
            if type(event) is Changed:
                self._complaint = event.reason
        if self._saved == number:
            rounds.arrive(member)

    def _reopen(self) -> None:
        """No worker is left: nobody saves or waits, and who was stopping has ended."""
        self._saving.clear()
        self._holding.clear()
        for member in list(self._population.members.values()):
            if member.trial.status.is_final:
                self._leave(member)
            else:
                self._population.place(member)

    # -- the questions

    def judge(self, report: Reported, view: View) -> Decision:
        """Let a trial that came to a perturbation save, or go on from another's state, or give its place away."""
        if self._trouble is not CONTINUE or not (self._is_due or self._is_late):
            return self._trouble
        member = self._population.members[report.trial]
        if self._is_due:
            if self._has_to_save(member, report):
                why = "others may go on from it when all are there" if self.synch else self._standing(member)
                return Decision("save", f"saves its state at {self.time_attr} {member.last:g}: {why}")
            if not self.synch and self._population.is_worst(member):
                return self._replace(member, view)
        return self._give_way(member, view)

    def _replace(self, member: Member, view: View) -> Decision:
        """Let one of the worst go on from another's state.

        Where there is none, it is held, too, for the review to let it go on: to continue is recorded, and with its
        reason, only after a hold.
        """
        donors = self._donors()
        if donors:
            found = self._exploit(member, donors, view)
            return found if type(found) is Exploit else Decision("hold", found.reason)
        if self._saving:
            return Decision("hold", f"waits for a state to go on from, which is being saved: {self._standing(member)}")
        if self._can_save or self._complaint:
            return self._give_way(member, view)
        return Decision("hold", self._lacking())

    def review(self, view: View) -> Sequence[tuple[int, Decision]]:
        """Decide about those that waited for a state that is saved now, or that nobody will save any more."""
        due = [(number, self._settle(number, view)) for number, awaited in self._holding.items() if not awaited]
        if self._rounds is not None and self._rounds.closing:
            due += self._close(list(self._rounds.closing), view)
        if self._saved is not None and view.trials[self._saved].status is Status.RUNNING:
            decision = self._give_way(self._population.members[self._saved], view)
            due += [(self._saved, decision)] if decision is not CONTINUE else []
        return due

    def _settle(self, number: int, view: View) -> Decision:
        """Decide about a trial that has waited."""
        member = self._population.members[number]
        donors = self._donors()
        found = CONTINUE
        if not self._population.is_worst(member):  # others have ended meanwhile
            reason = "goes on from its own state: it is not among the worst any more"
        elif not donors:
            reason = self._lacking()
        else:
            found = self._exploit(member, donors, view)
            reason = found.reason
        return found if type(found) is Exploit else Decision(self._give_way(member, view).action, reason)

    def _close(self, worst: list[int], view: View) -> Iterator[tuple[int, Decision]]:
        """Replace the worst of a round."""
        donors = self._donors()
        for number in worst if donors else ():
            member = self._population.members[number]
            if member.trial.status in _CLONEABLE and member not in donors:
                found = self._exploit(member, donors, view)
                yield number, found if type(found) is Exploit else Change(reason=found.reason)

    def _donors(self) -> list[Member]:
        return [member for member in self._population.best() if member.is_ready]

    def _exploit(self, member: Member, donors: list[Member], view: View) -> Decision:
        """Return the order to go on from one of `donors`; to continue, with the reason, if a user's function fails."""
        number = member.trial.number
        donor = stream(self.seed, "exploit", number, member.iteration).choice(donors)
        try:
            explored = self._explore(donor, member, view)
        except ArgumentError as error:
            return Decision("continue", f"goes on from its own state: {error}")
        return Exploit(
            donor=donor.trial.number,
            overrides=explored.overrides,
            suffix=explored.suffix(),
            reason=self._tell(donor, member, explored),
        )

    def _explore(self, donor: Member, member: Member, view: View) -> Explored:
        """Return what the donor's configuration becomes."""
        rng = stream(self.seed, "explore", member.trial.number, member.iteration)
        return self._explorer.explore(view.config(donor.trial.number), rng)

    def _give_way(self, member: Member, view: View) -> Decision:
        at = f"at {self.time_attr} {member.last:g}"
        if self._rounds is None:
            if view.pending or view.paused:
                return Decision("pause", f"gives its place to a trial that waits, {at}")
        elif member.due == inf:
            return Decision("pause", f"waits {at} for {len(self._rounds.expected)} others to get there")
        return CONTINUE

    def choose(self, view: View) -> int | None:
        """Return the trial whose last perturbation is the longest ago."""
        for member in self._population.waiting():
            if member.due < inf and view.fits(member.trial.number):
                return member.trial.number
        return None

    # -- what users read

    def _tell(self, donor: Member, member: Member, explored: Explored) -> str:
        if self.rules.pbt_tells_as_logged:
            scores = [as_reported(self._goal, which.score) for which in (donor, member)]
            return (
                f"[explore] perturbed config from {explored.old} -> {explored.new}\n[exploit] transferring weights from"
                f" trial {donor.trial.name} (score {scores[0]}) -> {member.trial.name} (score {scores[1]})"
            )
        return (
            f"goes on from {donor.trial.name} at {self.time_attr} {donor.last:g}, whose {self._goal.metric} is"
            f" {shown(self._goal, donor.score)}: {self._standing(member)}; {explored.tell()}"
        )

    def _standing(self, member: Member) -> str:
        population = self._population
        which = "worst" if population.is_worst(member) else "best"
        value = shown(self._goal, member.score)
        return f"{value} is among the {which} {population.share} of {len(population)} trials"

    def _lacking(self) -> str:
        reason = (
            f"goes on from its own state: none of the best {self._population.share} of {len(self._population)} trials"
            " has a checkpoint of its last perturbation"
        )
        if self._can_save:
            return reason
        return (
            f"{reason}. A function has to report one at least every {self.perturbation_interval:g} {self.time_attr},"
            " with tune.report(..., checkpoint=...)"
        )

    def describe(self, view: View) -> str:
        """Return how many states were saved and taken over, as users of Tune know it, and why the last one was not."""
        line = f"PopulationBasedTraining: {self.num_checkpoints} checkpoints, {self.num_perturbs} perturbs"
        return f"{line}\nThe last trial that was to be replaced {self._complaint}" if self._complaint else line


def _check_number(name: str, value: Any, *, above: float | None = None, most: float = inf) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and value < inf and value <= most and (value > above if above is not None else value >= 0):
        return
    start = f"above {above:g}" if above is not None else "from 0"
    raise ArgumentError(f"{name} must be a number {start}{'' if most == inf else f' to {most:g}'}, got {value!r}.")
