"""Damaged caches are named, and made again from the damage on."""

import errno
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from caches import DATA, Pages, X, cached, net
from stores import BLOCK, METADATA, RECORDS, records, write_store

import keras_dts
from keras_dts.cache import DamagedCacheError, shards
from keras_dts.cache.header import read_header
from keras_dts.cache.reader import RecordReader
from keras_dts.cache.shards import ShardedReader
from keras_dts.cache.writer import RecordWriter

# PyTorch's own, which `pytest.warns` brings back.
pytestmark = pytest.mark.filterwarnings("ignore:__array__")

ROWS = np.arange(RECORDS)


@pytest.fixture
def folder(tmp_path):
    return write_store(tmp_path / "00000-of-00001")


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def flip(file, bit):
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)


def read_all(reader):
    return [reader.read(field, ROWS).tolist() for field in reader.fields]


def told(folder):
    """Returns by which name a store is refused, or what it holds."""
    try:
        return None, read_all(RecordReader(folder))
    except ValueError as error:
        if not str(error).startswith("`path` must hold a c"):
            raise
        return str(error), None


@pytest.mark.parametrize("name", ["header.json", "blocks.jsonl"])
def test_a_changed_bit_is_named_or_changes_nothing(folder, name):
    expected = read_all(RecordReader(folder))
    named = 0
    bits = range(0, 8 * (folder / name).stat().st_size, 31)
    for bit in bits:
        flip(folder / name, bit)
        fault, found = told(folder)
        assert fault or found == expected
        named += fault is not None
        flip(folder / name, bit)
    assert named > 0.9 * len(bits)


LINES = {
    "lost": lambda lines: [lines[0], *lines[2:]],
    "swapped": lambda lines: [lines[1], lines[0], *lines[2:]],
    "doubled": lambda lines: [lines[0], *lines],
    "after the end": lambda lines: [*lines, lines[0]],
    "joined": lambda lines: [lines[0] + lines[1], *lines[2:]],
}


@pytest.mark.parametrize("case", LINES)
def test_other_lines_in_the_log_are_refused(folder, case):
    log = folder / "blocks.jsonl"
    lines = LINES[case](log.read_text().splitlines())
    log.write_text("".join(f"{line}\n" for line in lines))
    with pytest.raises(DamagedCacheError, match=r"blocks\.jsonl"):
        RecordReader(folder)


def test_the_log_of_another_store_is_refused(folder, tmp_path):
    writer = RecordWriter(tmp_path / "other", METADATA | {"seed": 1})
    writer.append([0, 1, 0], records(0, BLOCK))
    writer.close()
    log = (tmp_path / "other" / "blocks.jsonl").read_bytes()
    (folder / "blocks.jsonl").write_bytes(log)
    with pytest.raises(DamagedCacheError, match="line 1 is damaged"):
        RecordReader(folder)


@pytest.mark.parametrize(
    ("name", "bit"),
    [("output_0.bin", 8 * 40), ("x_0.ends", 8 * 40), ("x_0.text", 8 * 30)],
)
def test_a_changed_byte_is_named_when_its_block_is_read(folder, name, bit):
    flip(folder / name, bit)
    reader = RecordReader(folder)
    field = next(f for f in reader.fields if f.name == name.split(".")[0])
    last = ROWS[-BLOCK:]
    expected = records(RECORDS - BLOCK, RECORDS)[field.name]
    assert reader.read(field, last).tolist() == expected.tolist()
    for _ in range(2):
        with pytest.raises(DamagedCacheError, match=f"{name}', of which block"):
            reader.read(field, ROWS[::-1])


def test_a_block_is_compared_once(folder, monkeypatch):
    compared = []

    def is_whole(content, block, position):
        compared.append((block.given[0], position))
        return True

    monkeypatch.setattr("keras_dts.cache.reader.is_whole", is_whole)
    reader = RecordReader(folder)
    for rows in ([0, 3], [0, 5, 19], np.arange(20), [7]):
        reader.read(reader.fields[0], np.array(rows))
    assert compared == [(start, 0) for start in (0, 4, 16, 8, 12)]


def damaged(path, damage):
    """Damages the only part of a cache, and returns its folder."""
    (folder,) = path.iterdir()
    damage(folder)
    return folder


DAMAGE = {
    "a byte": (lambda f: flip(f / "output_0.bin", 8 * 900), "block 1"),
    "a line": (lambda f: flip(f / "blocks.jsonl", 8 * 150), "damaged"),
    "a file": (lambda f: (f / "output_0.bin").unlink(), "is missing"),
    "the log": (lambda f: (f / "blocks.jsonl").unlink(), "is missing"),
    "the header": (lambda f: (f / "header.json").unlink(), "is missing"),
    "the size": (
        lambda f: os.truncate(f / "output_0.bin", 2401),
        "of 2401 bytes, where 2400",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("data", [DATA, Pages()], ids=["arrays", "batches"])
def test_damage_is_named_and_made_again(tmp_path, data, case):
    damage, fault = DAMAGE[case]
    teacher = net(16, 1)
    cached(teacher, data, tmp_path, batch_size=16)
    (folder,) = tmp_path.iterdir()
    before = contents(folder)
    damaged(tmp_path, damage)
    with pytest.warns(UserWarning, match=f"A cache is damaged.*{fault}"):
        cached(teacher, data, tmp_path, batch_size=16)
    assert contents(folder) == before


def test_a_damaged_header_is_named_and_kept(tmp_path):
    teacher = net(16, 1)
    cached(teacher, X, tmp_path)
    folder = damaged(tmp_path, lambda f: flip(f / "header.json", 999))
    before = contents(folder)
    with pytest.raises(DamagedCacheError, match="Delete the folder"):
        cached(teacher, X, tmp_path)
    assert contents(folder) == before


@pytest.mark.parametrize("batches", [0, 1])
def test_a_damaged_cache_is_not_cut_without_new_batches(tmp_path, batches):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path)
    folder = damaged(tmp_path, lambda f: flip(f / "output_0.bin", 8 * 900))
    before = contents(folder)
    data = itertools.islice(iter([Pages()[0]]), batches)
    with (
        pytest.warns(UserWarning, match="A cache is damaged"),
        pytest.raises(ValueError, match="`data` must be the data of the cache"),
    ):
        cached(teacher, data, tmp_path)
    assert contents(folder) == before


def test_a_damaged_part_is_made_again_alone(tmp_path):
    teacher = net(16, 1)
    for index in range(3):
        cached(teacher, X, tmp_path, shard=(index, 3))
    folders = sorted(tmp_path.iterdir())
    before = [contents(folder) for folder in folders]
    flip(folders[1] / "blocks.jsonl", 9)
    with pytest.raises(DamagedCacheError, match="00001-of-00003"):
        cached(teacher, X, tmp_path)
    with pytest.warns(UserWarning, match="A cache is damaged"):
        cached(teacher, X, tmp_path, shard=(1, 3))
    assert [contents(folder) for folder in folders] == before


def test_fit_refuses_a_changed_byte_before_it_teaches(tmp_path):
    cache = cached(net(16, 1), DATA, tmp_path, batch_size=16)
    damaged(tmp_path, lambda f: flip(f / "output_0.bin", 8 * 900))
    cache = keras_dts.TeacherCache(tmp_path, DATA)
    cache.take([0, 15])
    with pytest.raises(DamagedCacheError, match=r"output_0\.bin', of which"):
        cache.take([0, 16])


def test_parts_with_other_fields_are_refused(tmp_path):
    write_store(tmp_path / "00000-of-00002")
    writer = RecordWriter(tmp_path / "00001-of-00002", METADATA)
    fields = records(0, BLOCK)
    fields["y_0"] = fields["y_0"].astype("int64")
    writer.append([0, 1, 0], fields)
    writer.finish()
    writer.close()
    with pytest.raises(DamagedCacheError, match="with other fields than"):
        ShardedReader(tmp_path, None)


def test_a_complete_store_is_not_opened_for_writing(folder, monkeypatch):
    monkeypatch.setattr("keras_dts.cache.writer.open_for_writing", None)
    writer = RecordWriter(folder, METADATA)
    assert (writer.is_complete, writer.count) == (True, RECORDS)


def test_many_parts_do_not_hold_a_descriptor_each(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_MAPPED_FILES", 3)
    for index in range(12):
        write_store(tmp_path / f"{index:05d}-of-00012")
    before = len([*Path("/proc/self/fd").iterdir()])
    reader = ShardedReader(tmp_path, None)
    rows = np.random.default_rng(0).permutation(12 * RECORDS)
    found = reader.read("y_0", rows)
    assert found.tolist() == (rows % RECORDS).tolist()
    assert len([*Path("/proc/self/fd").iterdir()]) - before == 3


def test_a_full_disk_names_the_file(tmp_path, monkeypatch):
    writer = RecordWriter(tmp_path / "part", METADATA)
    writer.append([0, 1, 0], records(0, 4))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space.*output_0\.bin"):
            writer.append([4, 1, 0], records(4, 8))
    writer.close()
    assert read_all(RecordReader(write_store(tmp_path / "part")))[2] == [*ROWS]


def test_header_and_log_say_their_checksums(folder):
    header = json.loads((folder / "header.json").read_text())
    assert header["checksum"] == read_header(folder).seal
    lines = (folder / "blocks.jsonl").read_text().splitlines()
    seals = [json.loads(line)[-1] for line in lines]
    assert len(set(seals)) == RECORDS // BLOCK + 1
