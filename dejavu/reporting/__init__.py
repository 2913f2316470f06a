"""Metrics files in; statistics, tables, figures and the report out. Nothing here imports torch."""
