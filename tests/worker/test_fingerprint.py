"""A fingerprint changes when the code does something else, and only then."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tunesmith.worker.fingerprint import code_fingerprint, compiler, qualified_name
from tunesmith.worker.trainable import Trainable

PLAIN = """
def train(config, epochs=3):
    for step in range(epochs):
        if step > 1:
            yield {"loss": config["x"] * 2, "more": (1, 2.5)}
"""
MOVED = '''
import math



def train(config, epochs=3):
    """Say much that was not said before."""
    for step in range(epochs):  # a comment

        if step > 1:
            yield {
                "loss": config["x"] * 2,
                "more": (1, 2.5),
            }
'''


def made(text: str, name: str = "train", file: str = "a.py") -> Any:
    names: dict[str, Any] = {"Trainable": Trainable, "__name__": "made"}
    exec(compile(text, file, "exec"), names)
    return names[name]


def test_comments_docstrings_lines_and_files_do_not_count() -> None:
    assert code_fingerprint(made(PLAIN)) == code_fingerprint(made(MOVED, file="elsewhere/b.py"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("* 2", "* 3"),
        ("* 2", "+ 2"),
        ("2.5", "2"),
        ('"more"', '"less"'),
        ("> 1", ">= 1"),
        ("epochs=3", "epochs=4"),
        ("range", "reversed"),
        ("config, epochs", "config, *, epochs"),
    ],
)
def test_what_it_does_counts(old: str, new: str) -> None:
    assert code_fingerprint(made(PLAIN)) != code_fingerprint(made(PLAIN.replace(old, new)))


CLASS = """
class Train(Trainable):
    rate = 3
    def setup(self, config):
        self.x = config["x"]
    def step(self):
        class Inner:
            "doc"
            y = 1
        return {"loss": self.x * (lambda z: z + 1)(self.rate)}
    @property
    def size(self):
        return 1
    @staticmethod
    def far():
        return 2
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rate = 3", "rate = 4"),
        ("z + 1", "z + 2"),
        ("return 1", "return 3"),
        ("return 2", "return 3"),
        ("y = 1", "y = 2"),
    ],
)
def test_of_a_class_the_methods_and_plain_attributes_count(old: str, new: str) -> None:
    plain = code_fingerprint(made(CLASS, "Train"))
    assert plain != code_fingerprint(made(CLASS.replace(old, new), "Train"))
    assert plain == code_fingerprint(made("\n\n# moved\n" + CLASS.replace('"doc"', '"more"'), "Train", "b.py"))
    assert plain != code_fingerprint(made(CLASS.replace("x * ", "x + "), "Train"))


def test_what_is_inherited_counts_up_to_the_library_s_own_class() -> None:
    text = CLASS + "\nclass More(Train):\n    pass\n"
    assert code_fingerprint(made(text, "More")) != code_fingerprint(made(text.replace("rate = 3", "rate = 4"), "More"))


def test_functions_in_wrappings_are_found() -> None:
    train = made(PLAIN)

    @functools.wraps(train)
    def wrapped(config: Any) -> Any:
        return train(config)

    changed = functools.wraps(made(PLAIN.replace("* 2", "* 3")))(wrapped)
    assert code_fingerprint(functools.partial(train, epochs=9)) == code_fingerprint(train)
    assert qualified_name(functools.partial(train, epochs=9)) == "train"
    again = code_fingerprint(wrapped)
    assert code_fingerprint(changed) == again  # it is one object
    assert again != code_fingerprint(train)


def test_where_there_is_no_python_code_there_is_no_fingerprint() -> None:
    assert code_fingerprint(len) == ""
    assert qualified_name(len) == "len"
    assert compiler().count("-") == 1


def test_an_object_that_is_called_is_told_by_its_class() -> None:
    text = "class Call:\n    def __call__(self, config):\n        return 1\n"
    one, other = made(text, "Call"), made(text.replace("return 1", "return 2"), "Call")
    assert code_fingerprint(one()) != code_fingerprint(other())
    assert qualified_name(one()) == "Call"
