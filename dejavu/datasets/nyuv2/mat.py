"""The MATLAB files of NYUv2: HDF5 with its axes reversed, and small files of the older format."""

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dejavu.datasets.reading.raw import Array
from dejavu.runtime.errors import DataError

if TYPE_CHECKING:
    import h5py

MD5 = "520609c519fba3ba5ac58c8fefcc3530"
"""MD5 of the published nyu_depth_v2_labeled.mat."""

SHAPES = {"images": (3, 640, 480), "depths": (640, 480), "labels": (640, 480)}
"""Shape of one image in each variable of the file: MATLAB's, with the axes reversed."""

TYPES = {"images": np.uint8, "depths": np.float32, "labels": np.uint16}
"""Type of each variable of the file."""


class LabelledMat:
    """``nyu_depth_v2_labeled.mat``, read image by image.

    Each process opens the file itself at its first read, because forked processes with a shared
    handle disturb each other's reads. The file is never locked, so its folder may be read-only.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: tuple[int, h5py.File] | None = None

    def __reduce__(self) -> tuple[type["LabelledMat"], tuple[Path]]:
        return type(self), (self.path,)

    def __len__(self) -> int:
        return int(self._variable("images").shape[0])

    def read(self, key: str, position: int) -> Array:
        """Read one image of a variable.

        Args:
            key: images, depths or labels.
            position: index of the image, from 0.

        Returns:
            480 x 640 x 3 uint8, 480 x 640 float32 metres, or 480 x 640 uint16 (0 to 894).

        Raises:
            DataError: the file is missing or truncated, or lacks the variable in its known type.
        """
        variable = self._variable(key)
        if position >= len(variable):
            raise DataError(
                f"{self.path}: {key} holds {len(variable)} images, but image {position + 1} is "
                "needed; download it again"
            )
        try:
            return np.ascontiguousarray(variable[position].T)
        except OSError as error:
            raise self._damaged(error) from None

    def scenes(self) -> list[str] | None:
        """Read the scene name of each image; None if the file has no scene names.

        Raises:
            DataError: the file is missing or truncated, or the names cannot be read.
        """
        file = self._file()
        try:
            if "scenes" not in file:
                return None
            # A cell array: references to arrays of UTF-16 code units.
            names = (file[reference][()] for reference in file["scenes"][()].ravel())
            return [name.astype("<u2").tobytes().decode("utf-16-le") for name in names]
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise self._damaged(error) from None

    def _variable(self, key: str) -> "h5py.Dataset":
        try:
            variable = self._file()[key]
        except (KeyError, OSError) as error:
            raise self._damaged(error) from None
        if variable.shape[1:] != SHAPES[key] or variable.dtype != TYPES[key]:
            raise DataError(
                f"{self.path}: {key} is {variable.shape} {variable.dtype}; expected (images, "
                f"{', '.join(map(str, SHAPES[key]))}) {np.dtype(TYPES[key])}: was the file "
                "converted? Download it again"
            )
        return variable

    def _file(self) -> "h5py.File":
        import h5py

        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = os.getpid(), h5py.File(self.path, "r", locking=False)
            except FileNotFoundError:
                raise DataError(f"{self.path}: is missing; download it again") from None
            except OSError as error:
                raise self._damaged(error) from None
        return self._opened[1]

    def _damaged(self, error: Exception) -> DataError:
        return DataError(
            f"{self.path}: cannot be read ({error}): truncated or damaged? Its md5 must be {MD5}; "
            "download it again"
        )


def read_variable(path: Path, key: str) -> Array:
    """Read a variable of an old (version 5) MATLAB file.

    Raises:
        DataError: the file is missing or damaged, or has no such variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    mend = "download it again"
    unreadable = (OSError, ValueError, TypeError, IndexError, NotImplementedError, zlib.error)
    try:
        variables = loadmat(path)
    except FileNotFoundError:
        raise DataError(f"{path}: is missing; {mend}") from None
    except (*unreadable, MatReadError) as error:
        raise DataError(f"{path}: is not a readable MATLAB file ({error}); {mend}") from None
    if key not in variables:
        found = ", ".join(sorted(name for name in variables if not name.startswith("__")))
        raise DataError(f"{path}: has no variable {key}, only {found or 'none at all'}; {mend}")
    return np.asarray(variables[key])
