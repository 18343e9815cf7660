"""The pure core: the state of an experiment, its legal moves, and the controller that answers events with commands."""
