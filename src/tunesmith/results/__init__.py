"""What came of an experiment."""

from tunesmith.results.repeated import Repeated
from tunesmith.results.results import Results, importance, load
from tunesmith.results.trial import Trial

__all__ = ["Repeated", "Results", "Trial", "importance", "load"]
