"""Outside: stores and executors over real parts."""
