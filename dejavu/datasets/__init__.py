"""Data sets as they are on disk, and the rooms that are rendered; nothing here imports torch."""
