"""How long scripts of 2019 take, start of Python included, and how long it takes to list a large experiment.

python benchmarks/tutorial.py [PAGE] [--rounds N]

PAGE is the tutorial's page, ``../shared/seed/tune-tutorial-2019.zh.md`` by default; its first three scripts are run.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Seconds that Ray 0.6.5 took on a machine with two cores.
RAY = {"logging_example": 8.8, "async_hyperband_example": 19.8, "hyperband_example": 17.4}
REPAIRS = str.maketrans({"\u3000": " ", "\uff03": "#"})

FILL = """
import sys
import tunesmith as tune
results = tune.run(
    lambda config, step: ({"loss": step * config["x"]}, 1.0), {"x": tune.uniform(0, 1)}, metric="loss", mode="min",
    num_samples=1000, stop={"training_iteration": 100}, executor=tune.SimulatedExecutor(workers=64), verbose=0,
    storage_path=sys.argv[1], name="large",
)
"""
LIST = "import sys; from tunesmith.cli import ls; import argparse\n" + (
    "parser = argparse.ArgumentParser(); ls.add_arguments(parser); sys.exit(ls.run(parser.parse_args()))"
)


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """The wall-clock time of a command that must end well, and the CPU time of all its processes."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNE_RESULT_DIR": str(folder / "results")}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    begun, before = time.perf_counter(), os.times()
    subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    spent, after = time.perf_counter() - begun, os.times()
    return spent, sum(after[2:4]) - sum(before[2:4])


def shown(times: list[tuple[float, float]]) -> str:
    """The range of times, and the least CPU time, for a machine that has more to do."""
    return f"{min(times)[0]:.2f} to {max(times)[0]:.2f} s, {min(cpu for _, cpu in times):.2f} s of CPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    page = ROOT.parent / "shared" / "seed" / "tune-tutorial-2019.zh.md"
    parser.add_argument("page", nargs="?", type=Path, default=page)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", given.page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    scripts = [block.translate(REPAIRS) for block in blocks if re.search(r"^import ray$", block, re.MULTILINE)]
    python = sys.executable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"import numpy: {shown([seconds([python, '-c', 'import numpy'], folder) for _ in range(given.rounds)])}")
        for (script, ray), text in zip(RAY.items(), scripts, strict=False):
            (folder / f"{script}.py").write_text(text, encoding="utf-8")
            command = [python, "-m", "tunesmith.compat.ray", f"{script}.py"]
            times = [seconds(command, folder) for _ in range(given.rounds)]
            print(f"{script}: {shown(times)}, Ray 0.6.5 {ray} s: {ray / min(times)[0]:.1f} times as fast", flush=True)
        seconds([python, "-c", FILL, name], folder)
        times = [seconds([python, "-c", LIST, "large"], folder) for _ in range(given.rounds)]
        print(f"tunesmith ls, 1,000 trials of 100 reports: {shown(times)}")


if __name__ == "__main__":
    main()
