"""What came of an experiment."""

from tunesmith.results.reading import Reading
from tunesmith.results.repeated import Repeated
from tunesmith.results.results import Results, importance, load
from tunesmith.results.trial import Trial

__all__ = ["Reading", "Repeated", "Results", "Trial", "importance", "load"]
