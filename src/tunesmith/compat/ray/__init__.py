"""Runs scripts that were written for Ray Tune of 2019, by ``python -m tunesmith.compat.ray SCRIPT``.

The names ``ray`` and ``ray.tune`` resolve to the modules of this package, in the launched process and its workers only.
It translates: what a run does is Tunesmith's, under `tunesmith.RULES_2019`.
"""
