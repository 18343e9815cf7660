"""What is compared, peers: searchers of other libraries with their defaults, by their public interfaces."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from tasks import ETA

from searching.problems import Outcome
from searching.sides import Make, Problem, UnableError
from searching.spaces import Category, Config, Number, Space, draw, everything
from searching.syne import SyneTune

# -- random search, the yardstick: it is drawn alike for everyone


class RandomSearch:
    """Independent draws."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def ask(self, number: int) -> Config:
        first = self._problem.first or ()
        if number < len(first):
            return first[number]
        return draw(self._problem.space, np.random.default_rng([self._problem.seed, number, 0xA5C]))

    def report(self, number: int, fidelity: int, value: float) -> bool:
        return True

    def tell(self, number: int, outcome: Outcome, is_complete: bool = True) -> None:
        pass


# -- Optuna


class Optuna:
    """A sampler of Optuna's, with spaces defined while they run; with its Hyperband where there are fidelities."""

    def __init__(self, sampler: str, problem: Problem) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self._problem, self._states = problem, optuna.trial.TrialState
        pruner = None
        if problem.fidelities:
            pruner = optuna.pruners.HyperbandPruner(problem.fidelities[0], problem.fidelities[-1], ETA)
        self._study = optuna.create_study(
            study_name=f"seed {problem.seed}",  # Hyperband draws from it
            directions=["minimize"] * problem.goals,
            sampler=getattr(optuna.samplers, sampler)(seed=problem.seed),
            pruner=pruner,
        )
        for config in problem.first or ():
            self._study.enqueue_trial(config)
        self._trials: dict[int, Any] = {}

    def ask(self, number: int) -> Config:
        trial = self._trials[number] = self._study.ask()
        return self._suggested(trial, self._problem.space)

    def teach(self, trials: Sequence[tuple[Config, float | None]]) -> None:
        """Let it know trials that it has not suggested; those without a value are under way."""
        import optuna

        kinds = {p.name: self._distribution(p) for p in everything(self._problem.space)}
        for config, value in trials:
            state = self._states.RUNNING if value is None else self._states.COMPLETE
            distributions = {name: kinds[name] for name in config}
            self._study.add_trial(
                optuna.trial.create_trial(state=state, value=value, params=config, distributions=distributions)
            )

    @staticmethod
    def _distribution(parameter: Number | Category) -> Any:
        from optuna import distributions

        if isinstance(parameter, Category):
            return distributions.CategoricalDistribution(parameter.options)
        _, low, high, is_log, is_whole = parameter
        if is_whole:
            return distributions.IntDistribution(int(low), int(high), log=is_log)
        return distributions.FloatDistribution(low, high, log=is_log)

    def _suggested(self, trial: Any, space: Space) -> Config:
        config: Config = {}
        for parameter in space:
            if isinstance(parameter, Category):
                config[parameter.name] = trial.suggest_categorical(parameter.name, parameter.options)
                config |= self._suggested(trial, parameter.branches.get(config[parameter.name], ()))
            elif parameter.is_whole:
                config[parameter.name] = trial.suggest_int(
                    parameter.name, int(parameter.low), int(parameter.high), log=parameter.is_log
                )
            else:
                config[parameter.name] = trial.suggest_float(
                    parameter.name, parameter.low, parameter.high, log=parameter.is_log
                )
        return config

    def report(self, number: int, fidelity: int, value: float) -> bool:
        self._trials[number].report(value, fidelity)
        return not self._trials[number].should_prune()

    def tell(self, number: int, outcome: Outcome, is_complete: bool = True) -> None:
        trial = self._trials.pop(number)
        if not is_complete:
            self._study.tell(trial, state=self._states.PRUNED)
            return
        for i, violation in enumerate(outcome.violations):
            trial.set_constraint(f"bound{i}", violation)
        if any(value != value for value in outcome.seen):
            self._study.tell(trial, state=self._states.FAIL)
        else:
            self._study.tell(trial, list(outcome.seen))


# -- HyperOpt


class HyperOpt:
    """HyperOpt's TPE."""

    def __init__(self, problem: Problem) -> None:
        if problem.goals > 1 or problem.constraints:
            raise UnableError("HyperOpt has one objective and no constraints")
        import hyperopt
        from hyperopt import base, tpe

        logging.getLogger("hyperopt").setLevel(logging.ERROR)
        self._base, self._suggest, self._problem = base, tpe.suggest, problem
        self._domain = base.Domain(lambda config: 0.0, self._own(hyperopt.hp, problem.space))
        self._trials = hyperopt.Trials()
        self._docs: dict[int, Any] = {}
        self._rng = np.random.default_rng(problem.seed)
        self._parameters = {parameter.name: parameter for parameter in everything(problem.space)}

    def _own(self, hp: Any, space: Space) -> dict[str, Any]:
        return {parameter.name: self._variable(hp, parameter) for parameter in space}

    def _variable(self, hp: Any, parameter: Number | Category) -> Any:
        name = parameter.name
        if isinstance(parameter, Category):
            options = [{"is": o, **self._own(hp, parameter.branches.get(o, ()))} for o in parameter.options]
            return hp.choice(name, options)
        _, low, high, is_log, is_whole = parameter
        if is_whole:
            return (
                hp.qloguniform(name, np.log(low - 0.5), np.log(high + 0.5), 1)
                if is_log
                else hp.uniformint(name, low, high)
            )
        return hp.loguniform(name, np.log(low), np.log(high)) if is_log else hp.uniform(name, low, high)

    def ask(self, number: int) -> Config:
        first, (tid,) = self._problem.first or (), self._trials.new_trial_ids(1)
        self._trials.refresh()
        if number < len(first):
            misc = self._given(tid, first[number])
            docs = self._trials.new_trial_docs([tid], [None], [{"status": "new"}], [misc])
        else:
            docs = self._suggest([tid], self._domain, self._trials, int(self._rng.integers(2**31 - 1)))
        self._trials.insert_trial_docs(docs)
        self._trials.refresh()
        doc = self._docs[number] = self._trials._dynamic_trials[-1]
        doc["state"] = self._base.JOB_STATE_RUNNING
        return {name: self._value(name, found[0]) for name, found in doc["misc"]["vals"].items() if len(found)}

    def _given(self, tid: int, config: Config) -> dict[str, Any]:
        """What it keeps of a point: options by their index, and nothing of what is not active."""
        idxs: dict[str, list[int]] = {name: [] for name in self._parameters}
        vals: dict[str, list[Any]] = {name: [] for name in self._parameters}
        for name, value in config.items():
            parameter = self._parameters[name]
            idxs[name] = [tid]
            vals[name] = [parameter.options.index(value) if isinstance(parameter, Category) else value]
        return {"tid": tid, "cmd": self._domain.cmd, "workdir": self._domain.workdir, "idxs": idxs, "vals": vals}

    def _value(self, name: str, value: float) -> Any:
        parameter = self._parameters[name]
        if isinstance(parameter, Category):
            return parameter.options[int(value)]
        value = min(max(value, parameter.low), parameter.high)
        return round(value) if parameter.is_whole else float(value)

    def report(self, number: int, fidelity: int, value: float) -> bool:
        return True  # it has no early stopping

    def tell(self, number: int, outcome: Outcome, is_complete: bool = True) -> None:
        doc, loss = self._docs.pop(number), outcome.seen[0]
        doc["state"] = self._base.JOB_STATE_DONE
        doc["result"] = {"status": self._base.STATUS_OK, "loss": loss}
        if loss != loss:
            doc["result"] = {"status": self._base.STATUS_FAIL}
        self._trials.refresh()


RANDOM = "random"
PEERS: dict[str, Make] = {
    RANDOM: RandomSearch,
    "Optuna TPE": partial(Optuna, "TPESampler"),
    "Optuna GP": partial(Optuna, "GPSampler"),
    "HyperOpt": HyperOpt,
    "Syne Tune CQR": partial(SyneTune, "CQR"),
    "Syne Tune BOHB": partial(SyneTune, "BOHB"),
}
PACKAGES = {
    "Optuna TPE": ("optuna",),
    "Optuna GP": ("optuna", "torch"),
    "HyperOpt": ("hyperopt",),
    "Syne Tune CQR": ("syne_tune", "sklearn"),
    "Syne Tune BOHB": ("syne_tune", "statsmodels"),
}


def available(name: str) -> bool:
    """Whether the packages that a peer needs are installed."""
    return all(find_spec(package) is not None for package in PACKAGES.get(name, ()))
