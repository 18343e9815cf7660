"""The pages say what the code does."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import tunesmith as tune

ROOT = Path(__file__).parent.parent


def test_the_page_of_the_state_machine_is_made_from_the_table() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))["page"]()
    assert (ROOT / "docs" / "state-machine.md").read_text() == made, "run python docs/generate.py"


@pytest.mark.parametrize("name", sorted(set(tune.__all__) - {"__version__"}))
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(tune, name)
    assert thing.__doc__
    assert thing.__doc__.strip()


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    text = (ROOT / "src" / "tunesmith" / "__init__.py").read_text()
    typed = set(re.findall(r" as (\w+)$", text.split("_HOMES")[0], re.MULTILINE)) - {"__version__"}
    assert typed == set(tune.__all__) - {"__version__"}


MODULES = [m.name for m in pkgutil.walk_packages(tune.__path__, "tunesmith.")]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_run(module: str) -> None:
    found = importlib.import_module(module)
    outcome = doctest.testmod(found, extraglobs={"tune": tune}, optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")]
    assert len(pages) > 10
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


SCRIPTS = [
    (page, script)
    for page in ("README.md", "docs/switching.md")
    for script in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
]


@pytest.mark.parametrize(("page", "script"), SCRIPTS)
def test_the_scripts_on_the_pages_run(page: str, script: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"
    assert re.search("'(lr|x)'", done.stdout.splitlines()[-1])


def test_importing_the_package_imports_nothing_else() -> None:
    """What a user has not asked for costs nothing; the time itself is measured in benchmarks/."""
    code = "import sys; before = set(sys.modules); import tunesmith; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) == {"tunesmith"}
