from pathlib import Path

import pytest

import tunesmith as tune


def objective(config: dict[str, float]) -> dict[str, float]:
    return {"loss": (config["x"] - 0.3) ** 2 + config.get("y", 0)}


def test_a_power_of_two_of_trials_fills_every_slice_of_each_variable() -> None:
    search = tune.SobolSearch({"x": tune.uniform(0, 1), "y": tune.loguniform(1e-3, 1)}, "loss", "min")
    xs = [search.ask().config["x"] for _ in range(64)]
    assert sorted(int(x * 64) for x in xs) == list(range(64))


def test_it_is_found_by_its_name_and_the_seed_decides(tmp_path: Path) -> None:
    space = {"x": tune.uniform(0, 1), "y": tune.choice([0, 1])}

    def run(name: str, seed: int) -> list[dict[str, float]]:
        results = tune.run(
            objective, space, metric="loss", mode="min", num_samples=8, search_alg="sobol", seed=seed, name=name,
            storage_path=tmp_path, executor="inline", verbose=0,
        )  # fmt: skip
        return [trial.config for trial in results]

    assert run("a", 1) == run("b", 1) != run("c", 2)


def test_a_resumed_run_goes_on_with_the_sequence(tmp_path: Path) -> None:
    def run(name: str, samples: int, resume: bool | str = False) -> list[float]:
        results = tune.run(
            objective, {"x": tune.uniform(0, 1)}, metric="loss", mode="min", num_samples=samples, search_alg="sobol",
            seed=5, name=name, storage_path=tmp_path, executor="inline", verbose=0, resume=resume,
        )  # fmt: skip
        return [trial.config["x"] for trial in results]

    run("cut", 3)
    assert run("cut", 8, resume="extend") == run("whole", 8)


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(tune.ArgumentError, match="sobol"):
        tune.run(
            objective, {"x": tune.uniform(0, 1)}, metric="loss", mode="min", search_alg="sobl", storage_path=tmp_path
        )


def test_a_finite_space_is_gone_through_and_the_run_says_so(tmp_path: Path) -> None:
    results = tune.run(
        objective, {"x": tune.choice([0.1, 0.2, 0.3])}, metric="loss", mode="min", num_samples=10, search_alg="sobol",
        storage_path=tmp_path, executor="inline", verbose=0,
    )  # fmt: skip
    assert sorted(trial.config["x"] for trial in results) == [0.1, 0.2, 0.3]
