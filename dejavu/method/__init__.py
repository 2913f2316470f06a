"""The method, importable alone: it needs torch and nothing else."""
