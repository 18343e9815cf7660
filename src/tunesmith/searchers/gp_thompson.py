"""Functions drawn at random from what a Gaussian process thinks possible: each is a different guess at the truth."""

from __future__ import annotations

from math import pi, sqrt

from tunesmith.searchers.arrays import Array, Generator, np
from tunesmith.searchers.gp_posterior import Posterior

_FEATURES = 512
_CODES = 1024  # options of a category that are told apart by the prior's part of a drawn function


class Paths:
    """Draws functions from a posterior, at little cost each.

    A draw of the prior is a sum of cosines with the spectrum of the kernel, for Matern 5/2 a multivariate t
    distribution of 5 degrees of freedom; the data then correct it. Frequencies are drawn once, so that the cosines of a
    set of rows are computed once for all draws.

    Source: Rahimi and Recht, Random Features for Large-Scale Kernel Machines, 2007; Wilson et al., Efficiently Sampling
    Functions from Gaussian Process Posteriors, 2020.
    """

    def __init__(self, posterior: Posterior, rng: Generator) -> None:
        self._posterior, kernel = posterior, posterior.kernel
        self._heavy = np.sqrt(5.0 / rng.chisquare(5, _FEATURES))
        self._frequencies = rng.standard_normal((len(kernel.numeric), _FEATURES)) * self._heavy
        self._frequencies /= kernel.lengths[kernel.numeric][:, None]
        # Categories as corners of a simplex with sides 1 / l: an offset of the phase for each option.
        self._offsets = {
            int(j): rng.standard_normal((_CODES, _FEATURES)) * (self._heavy / (kernel.lengths[j] * sqrt(2)))
            for j in kernel.categories
        }
        self._phases = rng.random(_FEATURES) * (2 * pi)
        self._known = self.cosines(posterior.root.rows)

    def cosines(self, rows: Array) -> Array:
        """Return the features, shape (k, 512), of rows."""
        angles = rows[:, self._posterior.kernel.numeric] @ self._frequencies
        angles += self._phases
        for j, offsets in self._offsets.items():
            angles += offsets[rows[:, j].astype(int) % _CODES]
        np.cos(angles, out=angles)
        angles *= sqrt(2.0 * self._posterior.kernel.variance / _FEATURES)
        return angles

    def parts(self, rows: Array) -> tuple[Array, Array]:
        """Return the features of rows and their covariances with the known rows: what all draws have in common."""
        return self.cosines(rows), self._posterior.kernel.covariance(rows, self._posterior.root.rows)

    def draw(self, rng: Generator) -> Path:
        """Draw a function."""
        posterior = self._posterior
        amplitudes = rng.standard_normal(_FEATURES)
        noise = sqrt(posterior.kernel.noise) * rng.standard_normal(len(posterior.root.rows))
        off = posterior.root.solve(self._known @ amplitudes + noise)
        return Path(self, amplitudes, posterior.weights - off)


class Path:
    """A drawn function."""

    def __init__(self, paths: Paths, amplitudes: Array, weights: Array) -> None:
        self._paths, self._amplitudes, self._weights = paths, amplitudes, weights

    def at(self, rows: Array) -> Array:
        """Return its values, shape (k,), at rows."""
        return self.of(*self._paths.parts(rows))

    def of(self, cosines: Array, near: Array) -> Array:
        """Return its values at rows of which `Paths.parts` are given."""
        found: Array = cosines @ self._amplitudes + near @ self._weights
        return found
