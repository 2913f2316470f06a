"""Adoption: later code keeps earlier results if it is shown to compute the same."""
