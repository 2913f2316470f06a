"""What every data set and every task agree on about a pixel; imports nothing, so anyone may ask."""

IGNORE_INDEX = 255
"""Label of pixels that are neither trained on nor scored."""

ROLES = {"segmentation": "label", "depth": "depth", "normals": "normals"}
"""The part of a sample that is a task's ground truth, by task."""
