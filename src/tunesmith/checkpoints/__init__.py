"""Checkpoints on disk, as the driver sees them."""
