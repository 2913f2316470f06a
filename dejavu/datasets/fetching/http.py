"""File downloads over HTTP, resumed after an interruption, and verified."""

import contextlib
import hashlib
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from pathlib import Path

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.fetching.unpacking import is_unpacked, unpack
from dejavu.runtime.errors import DataError
from dejavu.runtime.locks import open_by_name
from dejavu.runtime.progress import Progress, silent

CHUNK = 1 << 20
"""Bytes read at a time."""

TIMEOUT = 60
"""Seconds without a byte after which a connection counts as broken."""

_BUSY = (429, 500, 502, 503, 504)
"""HTTP status codes after which the request is retried."""

WAITS = (1, 4, 16)
"""Seconds to wait before each retry after a broken connection."""


def obtain(downloads: Iterable[Download], root: Path, progress: Progress = silent) -> None:
    """Fetch and unpack a data set; existing files are left as they are.

    Zip archives are unpacked into their own folder, and may be deleted afterwards.

    Args:
        downloads: files of the data set.
        root: folder of the data set; created if missing.
        progress: called after each chunk of a file, with bytes.

    Raises:
        DataError: see `fetch` and `dejavu.datasets.fetching.unpacking.unpack`.
    """
    for download in downloads:
        path = root / download.path
        if path.suffix != ".zip":
            fetch(download, root, progress)
        elif not is_unpacked(path, path.parent):
            unpack(fetch(download, root, progress), path.parent, progress)


def fetch(
    download: Download,
    root: Path,
    progress: Progress = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Fetch a file unless it exists, and verify it.

    A partial download is kept as ``.NAME.part``; the next call resumes it, or starts over if the
    server's file has changed. A broken connection is retried a few times.

    Args:
        download: the file.
        root: folder of the data set; created if missing.
        progress: called after each chunk with the bytes received and the total.
        sleep: called with the seconds to wait before a retry.

    Returns:
        Path of the file.

    Raises:
        DataError: the server refuses, cannot be reached, or serves an unexpected file; the disk is
            full; or an existing file has the wrong size or checksum.
    """
    path = root / download.path
    with _explained(path):
        if path.exists():
            if fault := _fault(path, download):
                raise DataError(f"{path}: {fault}; move it away to download it again")
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _Part(path)
        _transfer_patiently(download, part, progress, sleep)
        progress(part.size(), part.size(), f"verifying {path.name}")
        if fault := _fault(part.path, download):
            part.discard()
            raise DataError(
                f"{path}: {fault}. The file from {download.url} was deleted; download it again. If "
                "that fails too, the publisher has changed the file: get it by hand"
            )
        part.path.replace(path)
        part.discard()
    return path


class _TransferError(Exception):
    """The transfer broke off; another attempt may resume it."""


@dataclass(frozen=True)
class _Part:
    """A partial download, with the server's identifier of the file's version."""

    whole: Path

    @property
    def path(self) -> Path:
        return self.whole.with_name(f".{self.whole.name}.part")

    @property
    def version_path(self) -> Path:
        return self.whole.with_name(f".{self.whole.name}.part.version")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self) -> str | None:
        """Return the If-Range value for resuming, or None if only a new start is safe."""
        if self.path.exists() and self.version_path.exists():
            return self.version_path.read_text(encoding="utf-8") or None
        return None

    def start(self, version: str) -> None:
        self.discard()
        self.version_path.write_text(version, encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.version_path.unlink(missing_ok=True)


def _transfer_patiently(
    download: Download, part: _Part, progress: Progress, sleep: Callable[[float], None]
) -> None:
    for wait in (*WAITS, None):
        try:
            _transfer(download, part, progress)
            return
        except _TransferError as error:
            if wait is None:
                raise DataError(
                    f"{part.whole}: the download of {download.url} broke off ({error}) "
                    f"{len(WAITS) + 1} times; run the command again to resume at "
                    f"{part.size():,} bytes"
                ) from None
            sleep(wait)


def _transfer(download: Download, part: _Part, progress: Progress) -> None:
    """Make one attempt to complete the partial download."""
    request = urllib.request.Request(download.url, headers={"User-Agent": "dejavu"})
    if version := part.version():
        request.add_header("Range", f"bytes={part.size()}-")
        request.add_header("If-Range", version)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            _answer_refusal(error, download, part)
            return
    except (OSError, HTTPException) as error:
        raise _TransferError(getattr(error, "reason", error)) from None
    with response:
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            _require_continuation(response.headers, part)
        else:
            part.start(_version(response.headers))
        done = part.size()
        total = None if response.length is None else done + response.length
        _require_expected_size(total, download, part)
        _require_space(total, part)
        with open_by_name(part.path, "ab") as file:
            while chunk := _receive(response.read):
                file.write(chunk)
                done += len(chunk)
                progress(done, max(total or 0, done), part.whole.name)
        if total is not None and done < total:
            raise _TransferError(f"{done:,} of {total:,} bytes arrived")


def _receive(read: Callable[[int], bytes]) -> bytes:
    # Errors of the network and of the disk are both OSErrors; this separates them.
    try:
        return read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _TransferError(error) from None


def _answer_refusal(error: urllib.error.HTTPError, download: Download, part: _Part) -> None:
    if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and part.size():
        if error.headers.get("Content-Range") == f"bytes */{part.size()}":
            return  # nothing is left to fetch: only the verification was interrupted
        part.discard()
        raise _TransferError("the partial download was longer than the file")
    if error.code in _BUSY:
        raise _TransferError(f"{error.code} {error.reason}")
    raise DataError(
        f"{part.whole}: {download.url} answers {error.code} {error.reason}; try again later, or "
        "get the file by hand from the publisher's page and save it under this name"
    )


def _require_continuation(headers: HTTPMessage, part: _Part) -> None:
    sent = headers.get("Content-Range", "")
    if not re.match(rf"bytes {part.size()}-", sent):
        part.discard()
        raise _TransferError(f"the server sent {sent or 'a range'} that was not requested")


def _require_expected_size(total: int | None, download: Download, part: _Part) -> None:
    if total is not None and download.bytes not in (None, total):
        part.discard()
        raise DataError(
            f"{part.whole}: {download.url} offers {total:,} bytes, not the expected "
            f"{download.bytes:,}; the publisher has changed the file or serves a web page instead: "
            "get it by hand"
        )


def _require_space(total: int | None, part: _Part) -> None:
    missing = (total or 0) - part.size()
    free = shutil.disk_usage(part.whole.parent).free
    if missing > free:
        raise DataError(
            f"{part.whole}: needs {missing:,} more bytes, but the disk has {free:,} free; free "
            "some space or choose another folder"
        )


def _version(headers: HTTPMessage) -> str:
    # RFC 9110, 13.1.5: If-Range takes no weak entity tag.
    tag: str = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _fault(path: Path, download: Download) -> str | None:
    size = path.stat().st_size
    if download.bytes not in (None, size):
        return f"is {size:,} bytes, and {download.bytes:,} are expected"
    algorithm, _, expected = download.checksum.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found == expected.lower():
        return None
    return f"its checksum is {algorithm}:{found}, and {download.checksum} is expected"


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written or read ({error.strerror or error}); fix this and run "
            "the command again to resume"
        ) from None
