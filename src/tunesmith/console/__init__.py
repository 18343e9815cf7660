"""What a run shows in a terminal."""

from tunesmith.console.console import Console as Console
