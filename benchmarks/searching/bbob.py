"""Functions of the BBOB suite, of random instances: each is 0 at its optimum, and is searched in [-5, 5]^d.

Source: Hansen, Finck, Ros and Auger, Real-Parameter Black-Box Optimization Benchmarking 2009: Noiseless Functions
Definitions, INRIA RR-6829. The numbers are those of that report; instances are drawn by NumPy, so they are not COCO's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np
from tasks import Array

Function: TypeAlias = Callable[[Array], Array]  # of points, shape (n, d); their values, shape (n,)
LOW, HIGH = -5.0, 5.0


def oscillated(x: Array) -> Array:
    """T_osz: bumps that are everywhere and change no order."""
    size = np.log(np.abs(x), out=np.zeros_like(x), where=x != 0)
    fast, slow = np.where(x > 0, 10.0, 5.5), np.where(x > 0, 7.9, 3.1)
    return np.sign(x) * np.exp(size + 0.049 * (np.sin(fast * size) + np.sin(slow * size)))


def ramp(d: int) -> Array:
    """From 0 to 1 in d steps."""
    return np.arange(d) / max(d - 1, 1)


def skewed(x: Array, beta: float) -> Array:
    """T_asy: other powers for what is above 0."""
    positive = np.maximum(x, 0.0)
    return np.where(x > 0, positive ** (1 + beta * ramp(x.shape[1]) * np.sqrt(positive)), x)


def scales(d: int, alpha: float) -> Array:
    """The diagonal of the matrix Lambda^alpha."""
    return alpha ** (0.5 * ramp(d))


class Instance:
    """What is random of a function: where the optimum is, and the rotations."""

    def __init__(self, number: int, d: int, seed: int) -> None:
        self.rng = np.random.default_rng([seed, number, d])
        self.d = d
        self.optimum = self.rng.uniform(-4, 4, d)
        self.signs = self.rng.choice([-1.0, 1.0], d)
        self.r, self.q = self.rotation(), self.rotation()

    def rotation(self) -> Array:
        q, r = np.linalg.qr(self.rng.normal(size=(self.d, self.d)))
        return q * np.sign(np.diag(r))


def sphere(i: Instance, x: Array) -> Array:
    return np.sum((x - i.optimum) ** 2, axis=1)


def rippled(z: Array) -> Array:
    """Rastrigin's function."""
    return 10 * np.sum(1 - np.cos(2 * np.pi * z), axis=1) + np.sum(z**2, axis=1)


def rastrigin(i: Instance, x: Array) -> Array:
    return rippled(skewed(oscillated(x - i.optimum), 0.2) * scales(i.d, 10))


def attractive_sector(i: Instance, x: Array) -> Array:
    z = (x - i.optimum) @ i.r.T * scales(i.d, 10) @ i.q.T
    z = np.where(z * i.optimum > 0, 100 * z, z)
    return oscillated(np.sum(z**2, axis=1)) ** 0.9


def rosenbrock(i: Instance, x: Array) -> Array:
    z = max(1.0, np.sqrt(i.d) / 8) * (x - 0.75 * i.optimum) + 1
    return np.sum(100 * (z[:, :-1] ** 2 - z[:, 1:]) ** 2 + (z[:, :-1] - 1) ** 2, axis=1)


def ellipsoid(i: Instance, x: Array) -> Array:
    return np.sum(1e6 ** ramp(i.d) * oscillated((x - i.optimum) @ i.r.T) ** 2, axis=1)


def sharp_ridge(i: Instance, x: Array) -> Array:
    z = (x - i.optimum) @ i.r.T * scales(i.d, 10) @ i.q.T
    return z[:, 0] ** 2 + 100 * np.sqrt(np.sum(z[:, 1:] ** 2, axis=1))


def rastrigin_rotated(i: Instance, x: Array) -> Array:
    z = skewed(oscillated((x - i.optimum) @ i.r.T), 0.2)
    return rippled(z @ i.q.T * scales(i.d, 10) @ i.r.T)


def schaffer(i: Instance, x: Array) -> Array:
    z = skewed((x - i.optimum) @ i.r.T, 0.5) @ i.q.T * scales(i.d, 10)
    s = np.sqrt(z[:, :-1] ** 2 + z[:, 1:] ** 2)
    return np.mean(np.sqrt(s) + np.sqrt(s) * np.sin(50 * s**0.2) ** 2, axis=1) ** 2


def schwefel(i: Instance, x: Array) -> Array:
    best = 4.2096874633 / 2
    y = 2 * i.signs * x
    y[:, 1:] += 0.25 * (y[:, :-1] - 2 * best)  # reads each old value before it is written: the right side comes first
    z = 100 * (scales(i.d, 10) * (y - 2 * best) + 2 * best)
    penalty = 100 * np.sum(np.maximum(0, np.abs(z / 100) - 5) ** 2, axis=1)
    return 4.189828872724339 - np.mean(z * np.sin(np.sqrt(np.abs(z))), axis=1) / 100 + penalty


class Peaks:
    """Gallagher's Gaussian peaks: many, of which one is the highest."""

    def __init__(self, i: Instance, count: int, condition: float) -> None:
        reach = 5.0 if count > 21 else 4.9
        self.centres = i.rng.uniform(-reach, reach, (count, i.d))
        self.centres[0] = i.optimum if count > 21 else 0.98 * i.optimum
        self.heights = np.concatenate([[10.0], 1.1 + 8 * np.arange(count - 1) / (count - 2)])
        alphas = np.concatenate([[condition], 1000.0 ** (2 * i.rng.permutation(count - 1) / (count - 2))])
        self.shapes = np.stack([i.rng.permutation(scales(i.d, a)) for a in alphas]) / (alphas**0.25)[:, None]
        self.r = i.r

    def __call__(self, i: Instance, x: Array) -> Array:
        z = (x[:, None, :] - self.centres) @ self.r.T
        peaks = self.heights * np.exp(-np.sum(z**2 * self.shapes, axis=2) / (2 * i.d))
        return oscillated(10 - peaks.max(axis=1)) ** 2


def lunacek(i: Instance, x: Array) -> Array:
    near, d = 2.5, i.d
    s = 1 - 1 / (2 * np.sqrt(d + 20) - 8.2)
    far = -np.sqrt((near**2 - 1) / s)
    y = 2 * i.signs * x
    z = (y - near) @ i.r.T * scales(d, 100) @ i.q.T
    bowls = np.minimum(np.sum((y - near) ** 2, axis=1), d + s * np.sum((y - far) ** 2, axis=1))
    return bowls + 10 * (d - np.sum(np.cos(2 * np.pi * z), axis=1))


FUNCTIONS: dict[int, Callable[[Instance, Array], Array]] = {
    1: sphere,
    3: rastrigin,
    6: attractive_sector,
    8: rosenbrock,
    10: ellipsoid,
    13: sharp_ridge,
    15: rastrigin_rotated,
    17: schaffer,
    20: schwefel,
    24: lunacek,
}
NUMBERS = (1, 3, 6, 8, 10, 13, 15, 17, 20, 21, 22, 24)


def function(number: int, d: int, seed: int) -> tuple[Function, Array]:
    """A function of the suite and where it is 0.

    >>> f, optimum = function(15, 5, seed=3)
    >>> bool(f(optimum[None])[0] < 1e-9 < f(optimum[None] + 0.1)[0])
    True
    """
    i = Instance(number, d, seed)
    if number in (21, 22):
        peaks = Peaks(i, *{21: (101, 1000.0), 22: (21, 1000.0**2)}[number])
        return partial(peaks, i), peaks.centres[0]
    places = {8: 0.75 * i.optimum, 20: i.signs * 4.2096874633 / 2, 24: i.signs * 2.5 / 2}
    return partial(FUNCTIONS[number], i), places.get(number, i.optimum)
