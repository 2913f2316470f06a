"""Dense-prediction tasks, a file each."""
