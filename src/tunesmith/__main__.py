"""``python -m tunesmith``: see `tunesmith.cli`."""

from __future__ import annotations

import sys

from tunesmith.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
