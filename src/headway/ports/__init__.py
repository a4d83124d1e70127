"""What the inside needs of the world."""
