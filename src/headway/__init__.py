"""Headway brings things to a desired state in the right order, and shows every step."""

__version__ = "0.1.0"
