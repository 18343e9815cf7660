"""The rules of the rooms, read off the code: who may import whom, and what a pure room keeps out."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"

# From the top down. A module may import from its own layer and from those below; rooms of one layer that stand in
# SIBLINGS may not import each other.
LAYERS: list[set[str]] = [
    {"tunesmith", "__main__", "cli", "dashboard", "compat"},
    {"running", "replaying", "assembly", "arguments", "definition", "placing", "warming"},
    {"console", "results", "recording"},
    {"driver", "asking", "clock", "interrupts", "virtual"},
    {"executors", "store", "checkpoints", "callbacks", "integrations"},
    {"worker"},
    {"remote"},
    {"core"},
    {"schedulers", "searchers", "stoppers"},
    {
        "codec", "commands", "dependencies", "domains", "errors", "events", "evolution", "linear_algebra", "naming",
        "objective", "pareto", "paths", "points", "readable", "resources", "result", "retrying", "space", "streams",
        "trial", "version",
    },
]  # fmt: skip
SIBLINGS = [
    {"executors", "store", "checkpoints", "callbacks", "integrations"},
    {"schedulers", "searchers", "stoppers"},
    {"console", "results"},
]
PURE = LAYERS[7] | LAYERS[8] | LAYERS[9]
IMPURE_MODULES = {"time", "os", "io", "pathlib", "threading", "subprocess", "logging", "socket", "tempfile", "shutil"}
LEAVES = {"compat", "integrations"}
# Where a package from outside may be named; msgspec's structs are the values that all rooms are made of.
THIRD_PARTY = {
    "msgspec": {""},
    "cloudpickle": {"worker.by_value", "executors.pickling"},
    "rich": {"console.live"},
    "pandas": {"results.results", "results.trial", "integrations.ax"},
    "numpy": {
        "schedulers.pb2_model",
        "searchers.arrays",
        "integrations.keras",
        "integrations.hyperopt",
        "compat.ray.markers",
    },
    "hyperopt": {"integrations.hyperopt"},
    "optuna": {"integrations.optuna"},
    "nevergrad": {"integrations.nevergrad"},
    "ax": {"integrations.ax"},
    "ProcessOptimizer": {"integrations.process_optimizer"},
    "botorch": {"integrations.ax"},
    "cmaes": {"searchers.cmaes_models"},
    "scipy": {
        "schedulers.pb2_model",
        "searchers.algebra",
        "searchers.mixture",
        "searchers.rung_weights",
        "searchers.sobol",
    },
    "ray": {
        *(f"executors.ray_{part}" for part in ("actor", "cluster", "crew", "executor", "relay")),
        *(f"integrations.{part}" for part in ("rllib", "rllib_engine", "rllib_settings")),
    },
    "threadpoolctl": {"linear_algebra"},
    "tensorboard": {"callbacks.tensorboard"},
    "keras": {"integrations.keras"},
    "torch": {"integrations.torch"},
    "stable_baselines3": {"integrations.sb3"},
    "fsspec": {"remote.files"},
    "aiobotocore": {"remote.usual"},
}


def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted((SOURCE / "tunesmith").rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


MODULES = modules()


def imports(tree: ast.Module) -> Iterator[str]:
    """Every imported name, those in functions and under TYPE_CHECKING included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def layer(module: str) -> int:
    return next(i for i, rooms in enumerate(LAYERS) if room(module) in rooms)


OWN = {name: {i for i in imports(tree) if i.split(".")[0] == "tunesmith"} for name, tree in MODULES.items()}


def test_every_module_has_its_place_in_a_layer() -> None:
    placed = set().union(*LAYERS)
    assert {room(module) for module in MODULES} <= placed


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module: str) -> None:
    upward = {other for other in OWN[module] if layer(other) < layer(module)}
    assert not upward


@pytest.mark.parametrize("module", MODULES)
def test_siblings_do_not_import_each_other(module: str) -> None:
    for rooms in SIBLINGS:
        if room(module) in rooms:
            assert not {other for other in OWN[module] if room(other) in rooms - {room(module)}}


def test_there_are_no_cycles() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module in done:
            return
        for other in OWN[module]:
            visit(other, (*way, module))
        done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PURE])
def test_pure_rooms_know_no_clock_no_file_and_no_thread(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(MODULES[module])} & IMPURE_MODULES


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PURE])
def test_pure_rooms_draw_only_from_generators_of_their_own(module: str) -> None:
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            assert {alias.name for alias in node.names} == {"Random"}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("np", "random"), ("numpy", "random"), ("os", "urandom")}
            assert node.value.id != "random" or node.attr == "Random"


@pytest.mark.parametrize("module", MODULES)
def test_packages_from_outside_are_named_only_by_what_wraps_them(module: str) -> None:
    inner = module.removeprefix("tunesmith").removeprefix(".")
    for name in {name.split(".")[0] for name in imports(MODULES[module])} - {"tunesmith", *sys.stdlib_module_names}:
        assert name in THIRD_PARTY, f"{name} is not listed"
        assert any(not place or inner == place for place in THIRD_PARTY[name]), f"{module} imports {name}"


def test_leaves_can_be_deleted() -> None:
    for module, others in OWN.items():
        if room(module) not in LEAVES:
            assert not {other for other in others if room(other) in LEAVES}


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) in PURE])
def test_nothing_reads_the_environment_when_it_is_imported(module: str) -> None:
    names = {node.attr for node in ast.walk(MODULES[module]) if isinstance(node, ast.Attribute)}
    assert not names & {"environ", "getenv"}


def test_no_module_is_called_by_what_it_is_not() -> None:
    assert not {part for module in MODULES for part in module.split(".")} & {"utils", "helpers", "common", "base"}
