"""Syne Tune's searchers, by the interface that its tuner has to them."""

from __future__ import annotations

import datetime
import logging
import warnings
from typing import Any

from tasks import ETA

from searching.problems import Outcome
from searching.sides import Problem, UnableError
from searching.spaces import Category, Config, Number, active, everything

SEVERAL = {"CQR": "ASHACQR", "BOHB": "BOHB"}  # its schedulers where there are several fidelities
ONE = {"CQR": "CQR", "BOHB": "TPE"}  # BOHB's model without them is its TPE


class SyneTune:
    """One of its schedulers. Its spaces are flat: what is not active is suggested too, and left out."""

    def __init__(self, name: str, problem: Problem) -> None:
        if problem.goals > 1 or problem.constraints:
            raise UnableError("this searcher has one objective and no constraints")
        logging.disable(logging.WARNING)
        warnings.filterwarnings("ignore")
        from syne_tune.backend.trial_status import Trial
        from syne_tune.optimizer import baselines

        self._problem, self._trial = problem, Trial
        self._parameters = list(everything(problem.space))
        settings: dict[str, Any] = {}
        if problem.fidelities:
            settings = {"time_attr": "fidelity", "max_t": problem.fidelities[-1], "reduction_factor": ETA}
            settings["grace_period"] = problem.fidelities[0]
        self._scheduler = getattr(baselines, (SEVERAL if problem.fidelities else ONE)[name])(
            {parameter.name: self._own(parameter) for parameter in self._parameters},
            metric="loss",
            random_seed=problem.seed,
            points_to_evaluate=[self._filled(config) for config in problem.first or ()] or None,
            **settings,
        )
        self._trials: dict[int, Any] = {}

    @staticmethod
    def _own(parameter: Number | Category) -> Any:
        from syne_tune import config_space

        if isinstance(parameter, Category):
            return config_space.choice(list(parameter.options))
        _, low, high, is_log, is_whole = parameter
        kinds = {(False, False): "uniform", (True, False): "loguniform", (False, True): "randint"}
        return getattr(config_space, kinds.get((is_log, is_whole), "lograndint"))(
            *((int if is_whole else float)(b) for b in (low, high))
        )

    def _filled(self, config: Config) -> Config:
        """A configuration with the first or the middle value of what is not active."""
        return {
            p.name: config.get(p.name, p.options[0] if isinstance(p, Category) else p.at(0.5)) for p in self._parameters
        }

    def ask(self, number: int) -> Config:
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            raise UnableError("it has no more to suggest")
        trial = self._trials[number] = self._trial(number, suggestion.config, datetime.datetime.now(datetime.UTC))
        self._scheduler.on_trial_add(trial)
        return {p.name: suggestion.config[p.name] for p in active(self._problem.space, suggestion.config)}

    def report(self, number: int, fidelity: int, value: float) -> bool:
        decision = self._scheduler.on_trial_result(self._trials[number], {"loss": value, "fidelity": fidelity})
        # At the last fidelity every trial is stopped, whatever is said.
        return bool(decision == "CONTINUE")

    def tell(self, number: int, outcome: Outcome, is_complete: bool = True) -> None:
        trial, loss = self._trials.pop(number), outcome.seen[0]
        if loss != loss:
            self._scheduler.on_trial_error(trial)
        elif not is_complete:
            self._scheduler.on_trial_remove(trial)
        else:
            result = {"loss": loss}
            if self._problem.fidelities:
                result["fidelity"] = self._problem.fidelities[-1]
            else:
                self._scheduler.on_trial_result(trial, result)
            self._scheduler.on_trial_complete(trial, result)
