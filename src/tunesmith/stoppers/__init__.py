"""Policies that end a trial, or the whole run, by a rule."""
