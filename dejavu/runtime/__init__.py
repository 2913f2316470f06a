"""The ground floor: what any program needs, and what knows nothing of images."""
