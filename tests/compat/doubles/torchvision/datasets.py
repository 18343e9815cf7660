from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class MNIST(torch.utils.data.Dataset):
    """Ten patterns and noise. The script must ask for the files once, where they may be loaded."""

    def __init__(
        self, root: str, train: bool = True, transform: Callable[[Any], Any] | None = None, download: bool = False
    ) -> None:
        generator = torch.Generator().manual_seed(1 if train else 2)
        patterns = torch.rand(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        self.targets = torch.randint(0, 10, (192 if train else 100,), generator=generator)
        noise = torch.rand(len(self.targets), 1, 28, 28, generator=generator)
        self.data = 0.8 * patterns[self.targets] + 0.2 * noise
        self.transform = transform or (lambda picture: picture)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.transform(self.data[i]), int(self.targets[i])
