"""Data sets: each prepares arrays once and yields batches of one `Sample` type."""
