"""Search by an evolution strategy that learns in which directions to step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from math import ceil
from typing import Any, Literal

import msgspec

from tunesmith.errors import ArgumentError, SpaceError
from tunesmith.objective import Objective
from tunesmith.searchers.arrays import Generator, generator, np
from tunesmith.searchers.cmaes_models import Distribution, Sample, Start, default_population, distribution, load
from tunesmith.searchers.encoding import Encoding
from tunesmith.searchers.engine import Proposal
from tunesmith.searchers.known import Known
from tunesmith.searchers.modelled import ModelSearcher
from tunesmith.streams import stream

_KEY = "cmaes"  # of a memo
_DRAWS = 16  # of a space with steps or choices, where some will have been before
_MOST = 1000  # options of a choice


class CMAESSearch(ModelSearcher):
    """Search by CMA-ES, an extra: ``pip install "tunesmith[cmaes]"``. For many trials, from some hundreds on.

    It draws from a normal distribution and moves it, a generation at a time, to where the better results are, and
    learns on the way in which directions to step how far. Choices and whole numbers are drawn from distributions of
    their own (CatCMA with margin); beyond 64 continuous dimensions only the steps along the axes are learnt.

    A trial never waits for others: what is asked for while a generation's results are under way is drawn from the same
    distribution, and a generation ends with as many results as it needs. Results that come later do not move the
    distribution. With many workers generations are larger, half of what is under way. Failed trials, and after them
    none but those that break a constraint, are the worst of their generation. What is known when it begins, of an older
    experiment or of `points_to_evaluate`, says where.

    Args:
        space: for bare use, without a run. Choices within choices are not for CMA-ES.
        metric: for bare use.
        mode: for bare use.
        points_to_evaluate: values for the first trials; see `ModelSearcher`.
        evaluated_rewards: the metric's values at the first of these points.
        seed: for bare use.
        population: how many results make a generation, at least 4; by default ``4 + 3 log(dimensions)``, and more with
            many workers.
        sigma: the standard deviation at the beginning, as a share of each variable's range.
        restarts: what follows when a distribution has shrunk to a point: ``"ipop"``, one with twice the population;
            ``"bipop"``, in turn such a one and a small, local one; None ends it there, and random search follows.
        noisy: lets the rate of learning adapt to noise; continuous variables only.

    Raises:
        ArgumentError: an argument is out of its range.
        MissingPackageError: the package `cmaes` is not installed.
        SpaceError: the space has choices within choices.

    Source: Hansen, The CMA Evolution Strategy: A Tutorial, 2016 (arXiv 1604.00772); Hansen, Benchmarking a
    BI-population CMA-ES on the BBOB-2009 function testbed; Hamano et al., CatCMA with Margin, GECCO 2025 (arXiv
    2504.07884); Nomura et al., CMA-ES with Learning Rate Adaptation, 2023 (arXiv 2304.03473).

    >>> from tunesmith.domains import uniform
    >>> search = CMAESSearch({"x": uniform(0, 1), "y": uniform(0, 1)}, "loss", "min")
    >>> for _ in range(60):
    ...     asked = search.ask()
    ...     search.tell(asked.number, {"loss": asked.config["x"] ** 2 + asked.config["y"] ** 2})
    >>> search.ask().config["x"] < 0.2
    True
    """

    def __init__(
        self,
        space: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: str | None = None,
        *,
        points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
        evaluated_rewards: Sequence[float] | None = None,
        seed: int = 0,
        population: int | None = None,
        sigma: float = 1 / 6,
        restarts: Literal["ipop", "bipop"] | None = "bipop",
        noisy: bool = False,
    ) -> None:
        engine = CMAESEngine(population=population, sigma=sigma, restarts=restarts, noisy=noisy)
        super().__init__(
            engine,
            space,
            metric,
            mode,
            points_to_evaluate=points_to_evaluate,
            evaluated_rewards=evaluated_rewards,
            seed=seed,
        )


class _Tag(msgspec.Struct, frozen=True):
    """Where a suggestion comes from; it is the memo of each, and all that a state is rebuilt from beside the results.

    Attributes:
        run: the number of restarts before it.
        generation: within the run.
        population: of the run; its first generation's may still grow, until it ends.
        known: how many results were known when the run began.
        sigma: with which the run began.
        large: whether the run is one of those whose populations double.
        raw: what the model has to be told, where that is not the row.
    """

    run: int
    generation: int
    population: int
    known: int
    sigma: float
    large: bool
    raw: list[float] | None = None


class CMAESEngine:
    """Proposes draws from the present generation's distribution; see `CMAESSearch` for the arguments."""

    name = "cmaes"

    def __init__(
        self,
        *,
        population: int | None = None,
        sigma: float = 1 / 6,
        restarts: Literal["ipop", "bipop"] | None = "bipop",
        noisy: bool = False,
    ) -> None:
        if population is not None and (not isinstance(population, int) or population < 4):
            raise ArgumentError(f"population must be a whole number from 4, got {population!r}.")
        if not 0 < sigma <= 1:
            raise ArgumentError(f"sigma must be above 0 and at most 1, a share of a variable's range; got {sigma!r}.")
        if restarts not in ("ipop", "bipop", None):
            raise ArgumentError(f"restarts must be 'ipop', 'bipop' or None, got {restarts!r}.")
        load()
        self._population, self._sigma, self._restarts, self._noisy = population, sigma, restarts, noisy
        self._history: _History | None = None

    def check(self, encoding: Encoding, objective: Objective) -> None:
        """Raise SpaceError if a choice lies within a choice, ArgumentError if there are several objectives."""
        if objective.others:
            raise ArgumentError(
                "CMAESSearch has one metric to optimise; "
                f"got {', '.join(goal.metric for goal in objective.goals)}. TPESearch and GPSearch take several."
            )
        inner = next((column for column in encoding.columns if column.parent is not None), None)
        if inner is not None:
            raise SpaceError(
                f"CMAESSearch can't search {inner.path!r}, which lies within an option of a choice: its distribution "
                "is over all variables at once. Use TPESearch or GPSearch for such a space."
            )
        for column in encoding.columns:
            if column.is_category and column.levels > _MOST:
                raise SpaceError(
                    f"CMAESSearch can't search {column.path!r}, a choice of {column.levels} options: it learns how "
                    f"good each one is, and takes at most {_MOST}. Use TPESearch, or make it a number."
                )

    def initial(self, known: Known) -> int:
        """Return 0: the first generation covers the space."""
        return 0

    def propose(self, known: Known, number: int, rng: Generator) -> Proposal:
        """Propose draws for trial `number`; no rows when the search has ended."""
        if not known.encoding.columns:
            return Proposal(np.empty((1, 0)))
        history = self._read(known)
        tag = history.tag
        if tag is None or (history.is_spent() and self._restarts is not None):
            tag = self._begin(known, history)
        elif history.is_spent():
            return Proposal(np.empty((0, known.encoding.dimensions)), why="the distribution has shrunk to a point")
        generation = history.generation if history.tag is not None and history.tag.run == tag.run else 0
        population = tag.population
        if generation == 0 and self._population is None:
            population = max(population, ceil((len(known.pending) + 1) / 2))
        tag = msgspec.structs.replace(tag, generation=generation, population=population, raw=None)
        model = history.model_of(tag)
        coarse = any(column.levels for column in known.encoding.columns)
        samples = model.sample(_DRAWS if coarse else 1, int(rng.integers(2**32)))
        memos = [{_KEY: msgspec.to_builtins(msgspec.structs.replace(tag, raw=sample.raw))} for sample in samples]
        return Proposal(
            np.array([sample.row for sample in samples]),
            memos=memos,
            why=f"generation {generation} of run {tag.run}",
        )

    def _read(self, known: Known) -> _History:
        revisions = known.version - known.count  # results that were told anew
        if self._history is None or not self._history.is_of(known, revisions):
            self._history = _History(known, revisions, self._noisy)
        self._history.catch_up()
        return self._history

    def _begin(self, known: Known, history: _History) -> _Tag:
        """Return the tag of a new run: the first, or one that follows a run that is spent."""
        usual = self._population or default_population(known.encoding.dimensions)
        before = history.tag
        if before is None:
            return _Tag(0, 0, usual, known.count, self._sigma, large=True)
        run = before.run + 1
        large, small = history.spent_on(large=True), history.spent_on(large=False)
        doubled = usual * 2 ** (history.large_restarts + 1)
        if self._restarts == "ipop" or large <= small:
            return _Tag(run, 0, doubled, known.count, self._sigma, large=True)
        rng = stream(known.seed, "cmaes", "regime", run)
        between = usual * (doubled / usual / 2) ** (rng.random() ** 2)
        sigma = self._sigma * 10 ** (-2 * rng.random())
        return _Tag(run, 0, max(usual, int(between)), known.count, sigma, large=False)


class _History:
    """What became of all suggestions of CMA-ES so far, as far as the latest run's distribution depends on it.

    It is a pure function of what is known: the memos say from which run and generation a row was drawn, and the order
    in which results came which of them moved the distribution. It goes on from where it was when more is known.
    """

    def __init__(self, known: Known, revisions: int, noisy: bool) -> None:
        self._known, self._revisions, self._noisy = known, revisions, noisy
        self._memos = self._ends = 0  # how many have been looked at
        self._tags: dict[int, _Tag] = {}
        self._asked: dict[int, int] = {}  # by run, how many
        self._sizes: dict[int, bool] = {}  # by run, whether it is a large one
        self.tag: _Tag | None = None  # of the latest run, with the population that it has by now
        self.generation = 0
        self._model: Distribution | None = None  # of the latest run, from its second generation on
        self._fresh: tuple[tuple[int, int], Distribution] | None = None  # by run and population, one that begins
        self._results: list[int] = []  # places in `known` of the generation's results

    def is_of(self, known: Known, revisions: int) -> bool:
        """Whether it can go on with this."""
        return self._known is known and self._revisions == revisions

    def catch_up(self) -> None:
        """Read what is new."""
        known = self._known
        for number, memo in islice(known.memos.items(), self._memos, None):
            self._read_memo(number, memo)
        self._memos = len(known.memos)
        for place in range(self._ends, known.count):
            self._read_end(place)
        self._ends = known.count

    def _read_memo(self, number: int, memo: Any) -> None:
        if not isinstance(memo, dict) or _KEY not in memo:
            return  # another engine's
        tag = msgspec.convert(memo[_KEY], _Tag)
        self._tags[number] = tag
        self._asked[tag.run] = self._asked.get(tag.run, 0) + 1
        self._sizes[tag.run] = tag.large
        if self.tag is None or tag.run > self.tag.run:
            self.tag, self.generation, self._model, self._results = tag, 0, None, []
        elif tag.run == self.tag.run and tag.population > self.tag.population:
            self.tag = tag

    def _read_end(self, place: int) -> None:
        tag, latest = self._tags.get(self._known.numbers[place]), self.tag
        if tag is None or latest is None or tag.run != latest.run or tag.generation != self.generation:
            return
        self._results.append(place)
        if len(self._results) < latest.population:
            return
        samples = [Sample(self._known.rows[i], self._tags[self._known.numbers[i]].raw) for i in self._results]
        self._model = self.model_of(latest)
        losses = self._known.losses(np.array(self._results))
        if np.ptp(losses) > 0:  # otherwise the generation has nothing to say
            self._model.update(samples, losses)
        self._fresh = None
        self.generation += 1
        self._results = []

    def is_spent(self) -> bool:
        """Whether the latest run has come to its end."""
        return self.generation > 0 and self._model is not None and self._model.is_spent()

    @property
    def large_restarts(self) -> int:
        """How many runs have begun with a doubled population."""
        return sum(large for run, large in self._sizes.items() if run > 0)

    def spent_on(self, *, large: bool) -> int:
        """Return how many trials the restarts of one kind have had."""
        return sum(asked for run, asked in self._asked.items() if run > 0 and self._sizes[run] == large)

    def model_of(self, tag: _Tag) -> Distribution:
        """Return the distribution of the latest run, or the one that a new run begins with."""
        if self._model is not None and self.tag is not None and tag.run == self.tag.run:
            return self._model
        key = (tag.run, tag.population)
        if self._fresh is None or self._fresh[0] != key:
            self._fresh = key, distribution(self._known.encoding, self._start(tag))
        return self._fresh[1]

    def _start(self, tag: _Tag) -> Start:
        known, dimensions = self._known, self._known.encoding.dimensions
        categories = np.array([column.is_category for column in known.encoding.columns])
        if tag.run > 0:
            mean = generator(stream(known.seed, "cmaes", "mean", tag.run).getrandbits(64)).random(dimensions)
            return Start(tag.population, tag.sigma, mean, np.empty((0, dimensions)), self._noisy)
        places = np.arange(tag.known)
        order = np.argsort(known.losses(places), kind="stable")
        good = order[known.feasible[: tag.known][order]]
        mean = known.rows[good[0]] if len(good) else np.where(categories, 0.0, 0.5)
        return Start(tag.population, tag.sigma, mean, known.rows[good], self._noisy)
