"""Judging models: every estimate comes with its standard error."""
