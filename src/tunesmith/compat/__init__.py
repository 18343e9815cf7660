"""Layers that make scripts written for other tools run."""
