"""Dense-prediction tasks, one file each."""
