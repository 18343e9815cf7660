"""Policies that suggest configurations."""
