"""What a caller's session may not do to a verb."""

import io
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from dejavu.cli import main


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_terminal_that_has_no_arrow_ends_no_verb(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("main.md", "findings.md"):
        (tmp_path / name).write_text("mIoU (%) ↑: 0.1 ± 0.2", encoding="utf-8")
    printed = io.BytesIO()
    monkeypatch.setattr("dejavu.reporting.write.write_tables", lambda layout: tmp_path)
    monkeypatch.setattr("dejavu.cli.study.recorded", lambda *_: nullcontext())
    monkeypatch.setattr("dejavu.cli.study.read_layout", lambda _: None)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding, write_through=True))
    monkeypatch.setattr(sys, "argv", ["dejavu", "tables"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert b"mIoU (%) \\u2191: 0.1" in printed.getvalue()
