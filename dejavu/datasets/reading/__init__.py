"""Shared code of the data sets that are read in place."""
