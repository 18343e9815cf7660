"""Bridges to training libraries."""
