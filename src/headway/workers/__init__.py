"""The stock workers, each found by its name in the catalogue."""
