"""A file is the old one or the new one, whatever happens while it is written."""

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import SMALL_BYTES, in_a_process_with_small_files

from dbbench.cli.output import add, write
from dbbench.errors import DbbenchError, ExitCode, UsageError
from dbbench.files import replace_file


@pytest.mark.parametrize("act", [write, add])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, act: Callable[[Path, str], None]) -> None:
    path = tmp_path / "run.csv"
    path.write_text("old\n")

    assert in_a_process_with_small_files(lambda: act(path, "x" * 2 * SMALL_BYTES)) == ExitCode.DEGRADED
    assert [each.name for each in tmp_path.iterdir()] == ["run.csv"]
    assert path.read_text() == "old\n"


def test_a_new_file_has_the_usual_rights_and_an_old_one_its_own(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "a" / "new.csv", b"1")
        (tmp_path / "old.csv").touch()
        (tmp_path / "old.csv").chmod(0o604)
        replace_file(tmp_path / "old.csv", b"2")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "a" / "new.csv").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old.csv").stat().st_mode) == 0o604
    assert (tmp_path / "old.csv").read_bytes() == b"2"


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "v1.csv").write_text("old")
    (tmp_path / "latest.csv").symlink_to("data/v1.csv")
    (tmp_path / "other.csv").symlink_to(tmp_path / "latest.csv")
    (tmp_path / "dangling.csv").symlink_to("data/v2.csv")

    replace_file(tmp_path / "other.csv", b"new")
    replace_file(tmp_path / "dangling.csv", b"first")

    assert (tmp_path / "other.csv").is_symlink()
    assert (tmp_path / "latest.csv").is_symlink()
    assert (tmp_path / "data" / "v1.csv").read_text() == "new"
    assert (tmp_path / "data" / "v2.csv").read_text() == "first"


def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    replace_file(pipe, b"through")
    reader.join(30)

    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_to() -> None:
    replace_file(Path("/dev/null"), b"away")

    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(DbbenchError, match="/dev/full cannot be written: No space left on device") as full:
        write(Path("/dev/full"), "no")
    assert full.value.exit_code == ExitCode.DEGRADED


@pytest.mark.parametrize("name", ["", "file/x.csv", "n\0l.csv", "x" * 300])
def test_what_cannot_be_a_file_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="cannot be written"):
        write(tmp_path / name, "no")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_cannot_be_encoded_is_a_question_mark(tmp_path: Path) -> None:
    write(tmp_path / "x.md", "a\udce9b")

    assert (tmp_path / "x.md").read_text() == "a?b"
