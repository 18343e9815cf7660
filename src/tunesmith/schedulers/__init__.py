"""Policies that decide which trial starts, continues, pauses and stops."""
