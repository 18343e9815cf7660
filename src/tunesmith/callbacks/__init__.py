"""Readers of a run that users choose or write."""
