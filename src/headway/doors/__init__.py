"""Outside: the ways in."""
