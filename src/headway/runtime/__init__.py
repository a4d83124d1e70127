"""Outside: the loops that drive the machines."""
