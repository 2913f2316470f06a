"""Downloads from a server on this machine that misbehaves on request."""

import errno
import hashlib
import os
import random
import re
import resource
import shutil
import socket
import struct
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dejavu.datasets.fetching.download import Download
from dejavu.datasets.fetching.http import WAITS, fetch, obtain
from dejavu.datasets.reading.registry import dataset_class, dataset_names
from dejavu.runtime.errors import DataError
from dejavu.runtime.progress import silent

CONTENT = random.Random(0).randbytes(300_000)
CUT = 0.5  # the fraction sent of the bytes that are due
TEAR = "send half of what is due, without a length"
RESET = "send half of what is due and reset the connection"
SHIFT = "send another range than was asked for"


class Site(ThreadingHTTPServer):
    """Serves one file under any name; ``faults`` are used up, one a request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.headers = {"ETag": '"1"'}
        self.ranges = True
        self.faults: list[str | int | float] = []
        self.asked: list[str | None] = []

    def url(self, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        site, wanted = self.server, self.headers.get("Range")
        site.asked.append(wanted)
        fault = site.faults.pop(0) if site.faults else None
        if isinstance(fault, int):
            self.send_error(fault)
            return
        same = self.headers.get("If-Range") in site.headers.values()
        start = int(wanted[6:-1]) if wanted and site.ranges and same else 0
        if start and start >= len(site.content):
            self.answer(416, {"Content-Range": f"bytes */{len(site.content)}"})
            return
        body = site.content[start:]
        headers = dict(site.headers)
        if fault != TEAR:
            headers["Content-Length"] = str(len(body))
        if wanted and site.ranges and same:
            first = start + 1 if fault == SHIFT else start
            headers["Content-Range"] = f"bytes {first}-{len(site.content) - 1}/{len(site.content)}"
        self.answer(206 if "Content-Range" in headers else 200, headers)
        sent = fault if isinstance(fault, float) else 0.5 if fault in (TEAR, RESET) else 1
        self.wfile.write(body[: int(sent * len(body))])
        if fault == RESET:
            abrupt = struct.pack("ii", 1, 0)  # close without the words that end a connection
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abrupt)
            self.connection.close()

    def answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def served() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with served() as server:
        yield server


def described(site: Site, content: bytes = CONTENT, name: str = "file.bin") -> Download:
    return Download(site.url(name), name, checksum(content), len(content))


def checksum(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hidden(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name.startswith("."))


def interrupted(site: Site, root: Path) -> int:
    """Leave a partial download; return its size."""
    site.faults = [CUT, 404]
    with pytest.raises(DataError, match="404"):
        fetch(described(site), root, sleep=lambda seconds: None)
    site.asked.clear()
    return (root / ".file.bin.part").stat().st_size


def test_a_file_arrives_whole(site: Site, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    item = described(site, name="deep/file.bin")
    path = fetch(item, tmp_path / "new", lambda done, total, note="": steps.append((done, total)))
    assert path == tmp_path / "new/deep/file.bin"
    assert path.read_bytes() == CONTENT
    assert hidden(path.parent) == []
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert all(total == len(CONTENT) for _, total in steps)


def test_a_file_that_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    fetch(described(site), tmp_path)
    fetch(described(site), tmp_path)
    assert site.asked == [None]


@pytest.mark.parametrize("found", [CONTENT[:-1], CONTENT[:-1] + b"x"], ids=["short", "other"])
def test_a_file_that_is_there_and_is_another_one_is_refused_and_kept(
    site: Site, tmp_path: Path, found: bytes
) -> None:
    assert found != CONTENT
    (tmp_path / "file.bin").write_bytes(found)
    with pytest.raises(DataError, match=r"file\.bin: (is 299,999 bytes|its checksum).*move it"):
        fetch(described(site), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == found
    assert site.asked == []


def test_a_broken_connection_is_resumed(site: Site, tmp_path: Path) -> None:
    site.faults = [CUT, CUT]
    waits: list[float] = []
    assert fetch(described(site), tmp_path, sleep=waits.append).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=150000-", "bytes=225000-"]
    assert waits == list(WAITS[:2])
    assert hidden(tmp_path) == []


def test_a_connection_that_is_reset_is_resumed(site: Site, tmp_path: Path) -> None:
    site.faults = [RESET]
    path = fetch(described(site), tmp_path, sleep=lambda seconds: None)
    assert path.read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_attempts_come_to_an_end_and_keep_what_came(site: Site, tmp_path: Path) -> None:
    site.faults = [CUT] * 99
    waits: list[float] = []
    with pytest.raises(DataError, match=r"file\.bin: .*broke off .*run the command again"):
        fetch(described(site), tmp_path, sleep=waits.append)
    assert waits == list(WAITS)
    assert len(site.asked) == len(WAITS) + 1
    kept = (tmp_path / ".file.bin.part").read_bytes()
    assert kept == CONTENT[: len(kept)]
    assert len(kept) > len(CONTENT) // 2
    assert not (tmp_path / "file.bin").exists()


def test_another_call_goes_on_from_the_part(site: Site, tmp_path: Path) -> None:
    size = interrupted(site, tmp_path)
    assert fetch(described(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == [f"bytes={size}-"]


def test_a_server_without_ranges_starts_anew(site: Site, tmp_path: Path) -> None:
    site.ranges = False
    size = interrupted(site, tmp_path)
    assert fetch(described(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == [f"bytes={size}-"]


@pytest.mark.parametrize("name", ["ETag", "Last-Modified"])
def test_a_file_that_changed_on_the_server_starts_anew(
    site: Site, tmp_path: Path, name: str
) -> None:
    site.headers = {name: '"first"'}
    size = interrupted(site, tmp_path)
    site.headers = {name: '"second"'}
    site.content = CONTENT[::-1]
    item = described(site, site.content)
    assert fetch(item, tmp_path).read_bytes() == site.content
    assert site.asked == [f"bytes={size}-"]


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_a_version_that_cannot_be_told_starts_anew(
    site: Site, tmp_path: Path, headers: dict[str, str]
) -> None:
    site.headers = headers
    interrupted(site, tmp_path)
    assert fetch(described(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == [None]


def test_a_range_that_was_not_asked_for_starts_anew(site: Site, tmp_path: Path) -> None:
    site.faults = [CUT, SHIFT]
    path = fetch(described(site), tmp_path, sleep=lambda seconds: None)
    assert path.read_bytes() == CONTENT
    assert site.asked == [None, "bytes=150000-", None]


def test_a_part_that_only_lacked_its_name_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    interrupted(site, tmp_path)
    (tmp_path / ".file.bin.part").write_bytes(CONTENT)
    assert fetch(described(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_starts_anew(site: Site, tmp_path: Path) -> None:
    interrupted(site, tmp_path)
    (tmp_path / ".file.bin.part").write_bytes(CONTENT + b"more")
    path = fetch(described(site), tmp_path, sleep=lambda seconds: None)
    assert path.read_bytes() == CONTENT
    assert site.asked[-1] is None


def test_a_wrong_checksum_names_both_and_leaves_nothing_to_resume(
    site: Site, tmp_path: Path
) -> None:
    right = hashlib.md5(b"another file").hexdigest()
    wrong = hashlib.md5(CONTENT).hexdigest()
    item = Download(site.url(), "file.bin", f"md5:{right}", len(CONTENT))
    with pytest.raises(DataError, match=f"file.bin: .*md5:{wrong}.*md5:{right}.*download it again"):
        fetch(item, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_does_not_survive_its_verification(site: Site, tmp_path: Path) -> None:
    size = interrupted(site, tmp_path)
    (tmp_path / ".file.bin.part").write_bytes(bytes(size))
    with pytest.raises(DataError, match="sha256"):
        fetch(described(site), tmp_path)
    assert fetch(described(site), tmp_path).read_bytes() == CONTENT
    assert site.asked == [f"bytes={size}-", None]


def test_a_capital_checksum_is_the_same_checksum(site: Site, tmp_path: Path) -> None:
    digest = hashlib.md5(CONTENT).hexdigest().upper()
    assert fetch(Download(site.url(), "file.bin", f"md5:{digest}"), tmp_path).exists()


def test_a_size_that_is_not_expected_is_refused_before_the_transfer(
    site: Site, tmp_path: Path
) -> None:
    item = Download(site.url(), "file.bin", checksum(CONTENT), 19)
    with pytest.raises(DataError, match=r"file\.bin: .*300,000 bytes.* 19\b.*by hand"):
        fetch(item, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_without_a_length_is_noticed_by_its_size(site: Site, tmp_path: Path) -> None:
    site.faults = [TEAR]
    with pytest.raises(DataError, match=r"is 150,000 bytes, and 300,000 are expected"):
        fetch(described(site), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_told_and_not_tried_again(site: Site, tmp_path: Path, status: int) -> None:
    site.faults = [status]
    with pytest.raises(DataError, match=rf"file\.bin: http.* answers {status} .*by hand"):
        fetch(described(site), tmp_path, sleep=lambda seconds: pytest.fail("waited"))
    assert site.asked == [None]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, status: int) -> None:
    waited: list[float] = []
    site.faults = [status, status]
    assert fetch(described(site), tmp_path, sleep=waited.append).read_bytes() == site.content
    assert waited == [1, 4]
    site.faults = [status] * 4
    (tmp_path / "file.bin").unlink()
    with pytest.raises(DataError, match=rf"broke off \({status} .*4 times"):
        fetch(described(site), tmp_path, sleep=waited.append)


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        with pytest.raises(DataError, match=r"broke off .*refused"):
            fetch(Download(url, "file.bin", checksum(b"")), tmp_path, sleep=lambda seconds: None)


def test_space_is_compared_before_the_transfer(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = interrupted(site, tmp_path)
    free = SimpleNamespace(free=len(CONTENT) - size - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DataError, match=r"file\.bin: .*150,000 .*149,999 free"):
        fetch(described(site), tmp_path)
    free.free += 1  # the rest is all that must fit
    assert fetch(described(site), tmp_path).read_bytes() == CONTENT


def test_a_disk_that_fills_up_is_told(site: Site, tmp_path: Path) -> None:
    """A limit on the size of files acts like one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DataError, match=rf"file\.bin: .*{os.strerror(errno.EFBIG)}"):
            fetch(described(site), tmp_path, sleep=lambda seconds: pytest.fail("tried again"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_root_that_is_a_file_is_told(site: Site, tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "root/file.bin"))):
        fetch(described(site), tmp_path / "root")


@pytest.mark.parametrize(
    ("url", "path", "checksum"),
    [
        ("ftp://host/a", "a", checksum(b"")),
        ("http://host/a", "/a", checksum(b"")),
        ("http://host/a", "b/../../a", checksum(b"")),
        ("http://host/a", "", checksum(b"")),
        ("https://host/a", "a", ""),
        ("http://host/a", "a", "md5:12"),
        ("http://host/a", "a", "crc:00000000"),
        ("http://host/a", "a", "9e107d9d372bb6826bd81d3542a419d6"),
    ],
)
def test_impossible_downloads_are_refused(url: str, path: str, checksum: str) -> None:
    with pytest.raises(ValueError, match="must "):
        Download(url, path, checksum)


@settings(max_examples=15)
@given(
    cuts=st.lists(st.floats(0, 1, exclude_max=True), max_size=len(WAITS)),
    ranges=st.booleans(),
    length=st.integers(1, 2000),
)
def test_any_way_to_break_off_gives_the_same_file(
    cuts: list[float], ranges: bool, length: int
) -> None:
    with served() as site, tempfile.TemporaryDirectory() as root:
        site.content, site.ranges, site.faults = CONTENT[:length], ranges, [*cuts]
        item = Download(site.url(), "file.bin", checksum(site.content))
        path = fetch(item, Path(root), sleep=lambda seconds: None)
        assert path.read_bytes() == CONTENT[:length]
        assert hidden(Path(root)) == []


def test_a_data_set_is_obtained_once_and_its_archives_may_go(site: Site, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("set/images/1.jpg", b"one")
    site.content = (tmp_path / "made.zip").read_bytes()
    root = tmp_path / "root"
    items = [described(site, site.content, name) for name in ("set.zip", "plain.bin")]
    obtain(items, root, silent)
    assert (root / "set/images/1.jpg").read_bytes() == b"one"
    assert (root / "plain.bin").read_bytes() == site.content
    (root / "set.zip").unlink()
    obtain(items, root, silent)
    assert len(site.asked) == 2


def test_the_downloads_are_what_the_protocols_say() -> None:
    listed = [item for name in dataset_names() for item in dataset_class(name).downloads]
    by_path = {item.path: item for item in listed}
    assert len(by_path) == len(listed) == 8
    labelled = by_path["nyu_depth_v2_labeled.mat"]
    assert labelled.checksum == "md5:520609c519fba3ba5ac58c8fefcc3530"
    assert labelled.bytes is not None
    assert round(labelled.bytes / 2**30, 1) == 2.8
    mapping = "sha256:ff177194cce9a2163517f1e1e6f1c64c50987162f542dedddc04bbf6ebe6d851"
    assert by_path["classMapping40.mat"].checksum == mapping
    assert {"splits.mat", "ADEChallengeData2016.zip"} <= set(by_path)
