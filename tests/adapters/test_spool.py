import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pool.adapters import spool as spool_module
from pool.adapters.spool import Spool, batches, drained

ROOT = Path(__file__).parents[2]

WRITER = """
    import os, sys
    from pathlib import Path
    from pool.adapters import spool as module
    module.SEGMENT_BYTES = 4096
    spool = module.Spool(Path(sys.argv[1]))
    n = 0
    while True:
        spool.write(b"line %d\\n" % n)
        os.write(1, b"%d\\n" % n)
        n += 1
"""


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 100)


def lines_of(folder, positions=None):
    return [line for batch in batches(folder, positions or {}) for line in batch.lines]


def files_of(folder):
    return sorted(path.name for path in folder.glob("*.jsonl"))


def ends_of(folder):
    return {batch.file: batch.end for batch in batches(folder, {})}


def test_lines_come_back_in_order(spool):
    for n in range(5):
        spool.write(b"%d\n" % n)
    assert lines_of(spool.folder) == [b"0", b"1", b"2", b"3", b"4"]


def test_the_journal_is_readable_by_its_owner_alone(spool):
    assert spool.folder.stat().st_mode & 0o077 == 0
    assert (spool.folder / spool.current).stat().st_mode & 0o077 == 0


def test_nothing_acknowledged_is_lost_by_a_kill(tmp_path):
    folder = tmp_path / "spool"
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(folder)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    acknowledged = [child.stdout.readline() for _ in range(3_000)]
    child.send_signal(signal.SIGKILL)
    # What the pipe still holds was acknowledged too; the last piece may be half a number.
    rest = child.stdout.read()
    child.stdout.close()
    child.wait()
    acknowledged += rest.splitlines(keepends=True)
    last = max(int(word) for word in acknowledged if word.endswith(b"\n"))

    lines = lines_of(folder)
    assert lines[: last + 1] == [b"line %d" % n for n in range(last + 1)]
    assert len(files_of(folder)) > 1
    assert drained(folder, ends_of(folder)) == files_of(folder)


def test_a_torn_last_line_waits_for_its_end(spool):
    spool.write(b"whole\n")
    spool.write(b"to")
    assert lines_of(spool.folder) == [b"whole"]
    spool.write(b"rn\n")
    assert lines_of(spool.folder, {spool.current: 6}) == [b"torn"]


def test_a_torn_last_line_of_a_dead_process_is_nobodys(tmp_path):
    (tmp_path / "1-dead.jsonl").write_bytes(b"whole\nto")
    assert lines_of(tmp_path) == [b"whole"]
    assert drained(tmp_path, {"1-dead.jsonl": 6}) == ["1-dead.jsonl"]


def test_reading_goes_on_where_the_position_stands(spool):
    spool.write(b"one\n")
    (batch,) = batches(spool.folder, {})
    assert (batch.file, batch.start, batch.end) == (spool.current, 0, 4)
    spool.write(b"two\n")
    (batch,) = batches(spool.folder, {spool.current: 4})
    assert (batch.start, batch.end, batch.lines) == (4, 8, (b"two",))
    assert list(batches(spool.folder, {spool.current: 8})) == []


def test_long_files_come_in_pieces_of_whole_lines(spool, monkeypatch):
    monkeypatch.setattr(spool_module, "PIECE_BYTES", 64)
    written = [b"x" * (n % 30) + b"%d" % n for n in range(100)]
    for line in written:
        spool.write(line + b"\n")
    found = list(batches(spool.folder, {}))
    assert len(found) > 10
    assert [line for batch in found for line in batch.lines] == written
    assert [batch.start for batch in found[1:]] == [batch.end for batch in found[:-1]]


def test_a_line_longer_than_a_piece_does_not_stop_the_journal(spool, monkeypatch):
    monkeypatch.setattr(spool_module, "PIECE_BYTES", 64)
    written = [b"a", b"b" * 1_000, b"c"]
    for line in written:
        spool.write(line + b"\n")
    assert lines_of(spool.folder) == written


def test_segments_follow_one_another(spool, small_segments):
    for n in range(50):
        spool.write(b"line %02d\n" % n)
    assert len(files_of(spool.folder)) == 4
    assert spool.current == files_of(spool.folder)[-1]
    assert lines_of(spool.folder) == [b"line %02d" % n for n in range(50)]


def test_a_drained_segment_may_go_but_never_the_one_being_written(spool, small_segments):
    for n in range(50):
        spool.write(b"line %02d\n" % n)
    spool.sync()
    assert drained(spool.folder, ends_of(spool.folder)) == files_of(spool.folder)[:-1]
    spool.close()
    assert drained(spool.folder, ends_of(spool.folder)) == files_of(spool.folder)


def test_a_segment_with_lines_left_stays(spool):
    spool.write(b"one\n")
    spool.write(b"two\n")
    spool.close()
    assert drained(spool.folder, {spool.current: 4}) == []
    assert drained(spool.folder, {}) == []


def test_no_file_of_the_journal_is_ever_seen_without_its_lock(spool, small_segments, monkeypatch):
    """Another worker removes drained files nobody holds; a new one is empty, and so drained."""
    seen = []
    flock = fcntl.flock

    def look_first(descriptor, operation):
        seen.extend(set(files_of(spool.folder)) - {spool.current})
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", look_first)
    before = files_of(spool.folder)
    spool.write(b"x" * 200 + b"\n")
    assert len(files_of(spool.folder)) == 2
    assert seen == []
    assert before != [spool.current]


def test_syncing_closes_the_segments_that_are_full(spool, small_segments):
    for n in range(50):
        spool.write(b"line %02d\n" % n)
    descriptors = len(os.listdir("/proc/self/fd"))
    spool.sync()
    spool.sync()
    assert len(os.listdir("/proc/self/fd")) == descriptors - 3
    spool.write(b"goes on\n")
    assert lines_of(spool.folder)[-1] == b"goes on"


def fill_disk(monkeypatch, room_bytes):
    """From now on the disk takes `room_bytes` more, then none."""
    write = os.write
    left = [room_bytes]

    def limited(descriptor, line):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(descriptor, line[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", limited)


def test_what_a_full_disk_does_not_take_waits_in_memory_and_is_told_once(spool, monkeypatch, caplog):
    spool.write(b"before\n")
    with monkeypatch.context() as patch:
        fill_disk(patch, 0)
        spool.write(b"meanwhile 1\n")
        spool.write(b"meanwhile 2\n")
    spool.write(b"after\n")
    assert spool.unwritten == 0
    assert caplog.text.count("records wait in memory") == 1
    assert lines_of(spool.folder) == [b"before", b"meanwhile 1", b"meanwhile 2", b"after"]


def test_what_waits_is_written_without_a_new_line_when_the_disk_has_room(spool, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk(patch, 0)
        spool.write(b"meanwhile\n")
        spool.catch_up()
        assert lines_of(spool.folder) == []
    spool.catch_up()
    assert lines_of(spool.folder) == [b"meanwhile"]


def test_what_waits_is_written_at_the_end(spool, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk(patch, 0)
        spool.write(b"meanwhile\n")
    spool.close()
    assert spool.unwritten == 0
    assert lines_of(spool.folder) == [b"meanwhile"]


def test_a_full_disk_fills_memory_only_so_far_and_what_is_lost_is_counted_and_told(spool, monkeypatch, caplog):
    monkeypatch.setattr(spool_module, "MOST_WAITING_BYTES", 20)
    fill_disk(monkeypatch, 0)
    for n in range(4):
        spool.write(b"line %d...\n" % n)
    assert spool.unwritten == 2
    assert "1 records lost so far" in caplog.text
    assert "2 records lost so far" in caplog.text
    spool.close()
    assert spool.unwritten == 4


def test_half_a_line_on_a_full_disk_spoils_no_other(spool, monkeypatch):
    with monkeypatch.context() as patch:
        fill_disk(patch, 3)
        spool.write(b"[1, 2]\n")
        spool.write(b"[3, 4]\n")
    spool.write(b"[5, 6]\n")
    spool.write(b"[7, 8]\n")
    assert spool.unwritten == 0
    assert [line for line in lines_of(spool.folder) if line.endswith(b"]")] == [
        b"[1, 2]", b"[3, 4]", b"[5, 6]", b"[7, 8]"
    ]  # fmt: skip


def test_where_no_new_segment_can_be_opened_the_old_one_goes_on(spool, small_segments, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        for n in range(20):
            spool.write(b"line %02d\n" % n)
    spool.write(b"line 20\n")
    spool.write(b"line 21\n")
    assert lines_of(spool.folder) == [b"line %02d" % n for n in range(22)]
    assert spool.unwritten == 0
    assert len(files_of(spool.folder)) == 2


def test_a_line_after_the_end_is_counted_as_lost(spool):
    spool.close()
    spool.write(b"late\n")
    assert spool.unwritten == 1
