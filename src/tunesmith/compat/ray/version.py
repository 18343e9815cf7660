"""Which Ray this is."""

from typing import Final

__version__: Final = "0.6.5"
