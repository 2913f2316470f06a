"""The file of adopted results, which maps the hashes of later code to the recorded hashes.

`dejavu.study.adoption.adopt` writes it after a comparison of the code; this module reads it.
"""

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from dejavu.runtime.errors import DataError
from dejavu.runtime.strict_json import read_json

FILE = "adopted.json"


class Comparison(BaseModel, frozen=True, extra="forbid"):
    """The comparison behind adopted results.

    Attributes are described by their fields.
    """

    recorded: str = Field(description="commit of the code that made the results")
    adopted_by: str = Field(description="commit of the code that adopted them")
    compared: list[str] = Field(description="names of the runs and measurements that were compared")
    processor: str = Field(description="model of the CPU that both ran on")
    versions: dict[str, str] = Field(description="versions of Python and of packages")


class Adopted(BaseModel, frozen=True, extra="forbid"):
    """The adopted results of a study.

    Attributes are described by their fields.
    """

    hashes: dict[str, str] = Field(
        default={}, description="hash by later code -> hash of the code that made the results"
    )
    code: dict[str, str] = Field(
        default={}, description="code hash of a phase, later -> as DVC's stages know it"
    )
    comparisons: list[Comparison] = Field(default=[], description="oldest first")


def adopted_file(study: str) -> Path:
    """Return the path of a study's adopted results, relative to the repository."""
    return Path("results") / study / FILE


def read_adopted(study: str) -> Adopted:
    """Read the adopted results of a study; none if there is no file.

    Raises:
        DataError: the file cannot be read.
    """
    path = adopted_file(study)
    try:
        stamp = path.stat()
    except OSError:
        return Adopted()
    return _read(path.resolve(), stamp.st_mtime_ns, stamp.st_size)


@cache
def _read(path: Path, *stamp: Any) -> Adopted:
    """Read each version of a file once: planning needs it for every run."""
    try:
        return Adopted.model_validate(read_json(path))
    except (OSError, ValueError) as error:  # pydantic's error is a ValueError
        raise DataError(
            f"{path}: cannot be read as a file of adopted results ({type(error).__name__}); take "
            "it from git"
        ) from None
