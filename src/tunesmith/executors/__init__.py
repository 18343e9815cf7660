"""The places where trials run."""
