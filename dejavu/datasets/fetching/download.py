"""A downloadable file of a data set, served by its publisher without registration."""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Download:
    """One downloadable file of a data set.

    Without a checksum nothing is downloaded: some publishers serve plain http, and a file that was
    swapped on the way would be read as the data set.

    Attributes:
        url: http or https address.
        path: destination relative to the data set's root, with slashes.
        checksum: algorithm and hexadecimal digest, such as ``md5:...`` or ``sha256:...``.
        bytes: size, if known.

    Raises:
        ValueError: the URL, the path or the checksum is malformed.

    Example:
        >>> Download("https://host/a.zip", "a.zip", "md5:9e107d9d372bb6826bd81d3542a419d6")
        ... # doctest: +ELLIPSIS
        Download(url='https://host/a.zip', path='a.zip', checksum='md5:9e1...', bytes=None)
    """

    url: str
    path: str
    checksum: str
    bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url={self.url!r} must start with http:// or https://")
        path = PurePosixPath(self.path)
        if not path.name or path.is_absolute() or ".." in path.parts:
            raise ValueError(f"path={self.path!r} must be relative, and stay below the root")
        algorithm, _, digest = self.checksum.partition(":")
        known = algorithm in hashlib.algorithms_guaranteed
        if not known or len(digest) != 2 * hashlib.new(algorithm).digest_size:
            raise ValueError(
                f"checksum={self.checksum!r} must be an algorithm and a digest: md5:..."
            )
