"""One writer at a time for each part of a cache."""

import os
import signal
import subprocess
import sys

import pytest
from caches import X, cached, net
from stores import METADATA, RECORDS, records, write_store

from keras_dts.cache import CacheInUseError
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.reader import RecordReader
from keras_dts.cache.writer import RecordWriter

HOLD = """
import pathlib, sys
from stores import METADATA, records
from keras_dts.cache.writer import RecordWriter
writer = RecordWriter(pathlib.Path(sys.argv[1]), METADATA)
writer.append([0, 1, 0], records(0, 4))
print("holds", flush=True)
sys.stdin.read()
"""


def test_a_second_writer_is_refused(tmp_path):
    folder = tmp_path / "part"
    first = RecordWriter(folder, METADATA)
    for _ in range(2):
        with pytest.raises(CacheInUseError, match="one process at a time"):
            RecordWriter(folder, METADATA)
        first.append([0, 1, 0], records(first.count, first.count + 4))
    first.close()
    assert RecordReader(write_store(folder)).count == RECORDS


def test_a_lock_dies_with_its_process(tmp_path):
    folder = tmp_path / "part"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert holder.stdout.readline() == b"holds\n"
    with pytest.raises(CacheInUseError, match="/part', which another"):
        write_store(folder)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert RecordReader(write_store(folder)).count == RECORDS


def test_a_second_cache_teacher_changes_nothing(tmp_path, monkeypatch):
    teacher = net(16, 1)
    predict = TeacherPredictor.predict
    refused = []

    def meet(self, x, start=0):
        if not refused:
            with pytest.raises(CacheInUseError) as error:
                cached(teacher, X, tmp_path, batch_size=4)
            refused.append(error)
        return predict(self, x, start)

    monkeypatch.setattr(TeacherPredictor, "predict", meet)
    assert len(cached(teacher, X, tmp_path, batch_size=10)) == 50
    assert len(refused) == 1


def test_other_parts_are_not_locked(tmp_path):
    first = RecordWriter(tmp_path / "00000-of-00002", METADATA)
    other = RecordWriter(tmp_path / "00001-of-00002", METADATA)
    other.close()
    first.close()


def test_a_disk_without_locks_warns(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("keras_dts.cache.files._lock", refuse)
    with pytest.warns(UserWarning, match="cannot be locked"):
        write_store(tmp_path / "part")
