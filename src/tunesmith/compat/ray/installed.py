"""Importing this module makes ``import ray`` find this package: the first thing that a worker of such a script does."""

from tunesmith.compat.ray.finder import install

install()
