"""Exports the catalogue of a library: each shelf by a task of its own, joined into one file."""
