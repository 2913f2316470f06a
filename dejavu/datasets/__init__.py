"""Data sets on disk, and the rendered rooms; nothing here imports torch."""
