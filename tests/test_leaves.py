"""A leaf can be deleted, and everything else is whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "tunesmith"

PROGRAM = """
import importlib, pkgutil, sys
import tunesmith as tune

for module in pkgutil.walk_packages(tune.__path__, "tunesmith."):
    if module.name != "tunesmith.__main__":
        importlib.import_module(module.name)
for name in tune.__all__:
    getattr(tune, name)
results = tune.run(lambda config: config["x"], {"x": tune.grid_search([2, 1])}, metric="loss", mode="min",
                   name="n", storage_path=sys.argv[1], callbacks=[tune.CSVLogger(), tune.JSONLogger()], verbose=0)
print(tune.__file__, results.best_config)
"""


@pytest.mark.parametrize("leaf", ["compat", "integrations"])
def test_without_a_leaf_everything_else_is_whole(tmp_path: Path, leaf: str) -> None:
    root = tmp_path / "src"
    shutil.copytree(PACKAGE, root / "tunesmith", ignore=shutil.ignore_patterns(leaf, "__pycache__"))
    assert not (root / "tunesmith" / leaf).exists()
    if leaf == "integrations":  # these are imported when a script names HyperOptSearch or RLlib's, and not before
        for module in ("hyperopt", "rllib"):
            (root / "tunesmith" / "compat" / "ray" / f"{module}.py").unlink()

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )

    (tmp_path / "program.py").write_text(PROGRAM)
    ran = python("program.py", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{root}/tunesmith/__init__.py {{'x': 1}}\n"
    listed = python("-m", "tunesmith", "ls", str(tmp_path / "n"))
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("TERMINATED") == 2
    if leaf == "compat":
        refused = python("-m", "tunesmith", "ray", "program.py")
        assert refused.returncode == 2
        assert "This installation has no layer for Ray's scripts" in refused.stderr
