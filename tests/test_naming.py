"""Names follow the rules that users of Tune know."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tunesmith import naming, paths


def test_tags_list_the_variables_by_path_with_five_digits() -> None:
    values = {"lr": 0.0123456, "a": 1, "nn/0": 16, "nn/1": 8, "opt/name": "a/b", "m?": 2}
    assert naming.tag(3, values) == "3_a=1,lr=0.012346,m=option2,nn_0=16,nn_1=8,name=a_b"
    assert naming.tag(0, {}) == "0"
    assert naming.tag(1, {"x": 2.0, "y": 1e-05}) == "1_x=2.0,y=1e-05"


@given(st.text())
def test_folders_are_safe_short_and_never_empty(name: str) -> None:
    folder = naming.folder(7, name)
    assert folder.startswith("00007_")
    assert len(folder) <= 66
    assert "/" not in folder
    assert folder.isascii()


@given(st.lists(st.text(min_size=1), min_size=1, max_size=4))
def test_paths_are_split_as_they_were_joined(parts: list[str]) -> None:
    assert paths.split(paths.join(parts)) == parts
    assert paths.split(paths.join(parts) + paths.CHOSEN) == parts
