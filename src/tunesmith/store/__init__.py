"""Where the events of an experiment are kept."""
