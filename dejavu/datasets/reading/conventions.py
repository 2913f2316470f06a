"""Conventions of all data sets and tasks; imports nothing, so that any module can import it."""

IGNORE_INDEX = 255
"""Label of pixels that are neither trained on nor scored."""

ROLES = {"segmentation": "label", "depth": "depth", "normals": "normals"}
"""The part of a sample that holds a ground truth, by the name of the ground truth."""
