"""Puts what was measured between two marks of a page."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).parent / "README.md"


def publish(text: str, begin: str, end: str, page: Path = README) -> None:
    """Replace what stands between the marks, each of which the page must have once."""
    head, rest = page.read_text().split(begin)
    _, tail = rest.split(end)
    page.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
