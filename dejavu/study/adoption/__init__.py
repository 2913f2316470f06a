"""Adoption: later code keeps earlier results if it is shown to compute the same."""

from pathlib import Path


def driver_file() -> Path:
    """Return the script that runs the verbs of any version of the package."""
    return Path(__file__).parent / "driver.py"
