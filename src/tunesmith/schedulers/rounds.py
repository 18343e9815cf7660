"""Rounds: all trials of a population come to a perturbation before any of them goes on."""

from __future__ import annotations

from math import inf

from tunesmith.schedulers.population import Member, Population


class Rounds:
    """Who is still expected at the present round's time, and who is to be replaced now that one has closed.

    A round closes when nobody is expected any more; a trial that ends is not. The next one is `interval` after the
    latest of those that were there.
    """

    def __init__(self, population: Population, first: float, interval: float) -> None:
        self._population = population
        self._at, self._interval = first, interval
        self.expected: set[int] = set()
        self.closing: dict[int, None] = {}  # the worst of the round that has closed

    def expect(self, member: Member) -> None:
        """Let the round wait for a trial."""
        member.due = self._at
        self.expected.add(member.trial.number)

    def arrive(self, member: Member) -> None:
        """Let a trial wait for the others."""
        member.due = inf
        self.expected.discard(member.trial.number)
        self._close()

    def leave(self, trial: int) -> None:
        """Wait no longer for a trial that has ended."""
        self.expected.discard(trial)
        self.closing.pop(trial, None)
        self._close()

    def _close(self) -> None:
        members = self._population.members
        if self.expected or not members:
            return
        self.closing = dict.fromkeys(member.trial.number for member in self._population.worst())
        self._at = max(member.last for member in members.values()) + self._interval
        for member in members.values():
            self.expect(member)
