"""Data as networks see it: one image is a `Sample`, several are a `Batch`."""
