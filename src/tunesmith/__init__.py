"""Tunesmith tunes the hyperparameters of anything that trains."""
