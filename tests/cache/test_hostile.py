"""Caches from strangers: what a header may say, and where a writer writes."""

import json

import numpy as np
import pytest
from caches import X, cached, net
from stores import METADATA, edit_header, write_store

import keras_dts
from keras_dts.cache import DamagedCacheError
from keras_dts.cache.header import read_header
from keras_dts.cache.reader import RecordReader
from keras_dts.cache.writer import RecordWriter


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The bytes of each file of a whole store."""
    folder = write_store(tmp_path_factory.mktemp("store") / "part")
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def folder(tmp_path, store):
    """A store that a test may damage."""
    folder = tmp_path / "part"
    folder.mkdir()
    for name, content in store.items():
        (folder / name).write_bytes(content)
    return folder


def field(position, value, name=0):
    def change(header):
        header["fields"][name][position] = value

    return change


def entry(name, value):
    def change(header):
        header["metadata"][name] = value

    return change


HOSTILE = {
    "an object": field(1, "object"),
    "the letter of an object": field(1, "O"),
    "a structured dtype": field(1, "f4,f4"),
    "bytes in another order": field(1, ">f4"),
    "a void dtype": field(1, "V8"),
    "another dtype of an output": field(1, "int32"),
    "a dtype that is a list": field(1, ["float32"]),
    "strings for an output": field(1, "text"),
    "a path": field(0, "../../secret"),
    "an absolute path": field(0, "/tmp/secret"),
    "a name that is no field": field(0, "output"),
    "a name with a line": field(0, "output_0\n"),
    "a name that is a number": field(0, 0),
    "a field twice": field(0, "output_0", name=2),
    "a gap in the numbers": field(0, "y_1", name=2),
    "a negative shape": field(2, [1, -2]),
    "a huge shape": field(2, [1, 10**15]),
    "a shape of texts": field(2, ["1", "2"]),
    "a fraction in a shape": field(2, [1, 2.0]),
    "a shape that is a number": field(2, 2),
    "a shape for strings": field(2, [2], name=1),
    "no views": entry("views", 0),
    "other views": entry("views", 2),
    "a dtype of a cache": entry("dtype", "object"),
    "features without fields": entry("features", ["feat"]),
    "no features": entry("features", None),
    "top_k": entry("top_k", "all"),
    "steps": entry("steps", -1),
    "an unknown source": entry("in_memory", None),
    "examples elsewhere": entry("in_memory", True),
    "a structure without labels": entry("examples", {"tuple": ["array"] * 3}),
    "a structure that is none": entry("examples", {"tuple": [{}, [], 0]}),
    "deep examples": entry(
        "examples", json.loads('{"list": [' * 200 + "]}" * 200)
    ),
    "no metadata": lambda header: header.update(metadata={}),
    "no fields": lambda header: header.update(fields=[]),
    "fields that are a number": lambda header: header.update(fields=3),
    "metadata that are a list": lambda header: header.update(metadata=[]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused(folder, tmp_path, case):
    edit_header(folder, HOSTILE[case])
    before = {file: file.read_bytes() for file in folder.iterdir()}
    for use in (RecordReader, lambda path: RecordWriter(path, METADATA)):
        with pytest.raises(DamagedCacheError, match=r"header\.json"):
            use(folder)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert [*tmp_path.iterdir()] == [folder]


def test_a_header_with_fitting_checksums_is_read(folder):
    edit_header(folder, entry("seed", 7))
    assert RecordReader(folder).metadata["seed"] == 7


NO_HEADERS = {
    "nothing": b"",
    "no JSON": b"\x00" * 99,
    "no text": b"\xff\xfe{}",
    "a list": b"[3]",
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "a long number": b'{"format": ' + b"9" * 9_999 + b"}",
    "another format": b'{"format": [3]}',
    "no format": b"{}",
}


@pytest.mark.parametrize("case", NO_HEADERS)
def test_a_file_that_is_no_header_is_refused(folder, case):
    (folder / "header.json").write_bytes(NO_HEADERS[case])
    with pytest.raises(DamagedCacheError, match="no header of a cache"):
        read_header(folder)


def test_a_header_of_a_gigabyte_is_not_read(folder):
    with (folder / "header.json").open("r+b") as file:
        file.truncate(2**30)
    with pytest.raises(DamagedCacheError, match="no header of a cache"):
        read_header(folder)


LINES = {
    "records that are not there": lambda block: block._replace(records=10**15),
    "fewer records": lambda block: block._replace(records=-2),
    "a fraction of records": lambda block: block._replace(records=4.0),
    "sizes that do not fit": lambda block: block._replace(sizes=[64, 32, 0, 9]),
    "sizes of fewer files": lambda block: block._replace(sizes=[32]),
    "sums that are texts": lambda block: block._replace(sums=["1"] * 4),
}


@pytest.mark.parametrize("case", LINES)
def test_a_hostile_log_is_refused(folder, case, monkeypatch):
    blocks = RecordReader(folder).blocks
    seal = read_header(folder).seal
    line, _ = LINES[case](blocks[0]).sealed(seal)
    (folder / "blocks.jsonl").write_bytes(line)
    with pytest.raises(DamagedCacheError, match="line 1 is damaged"):
        RecordReader(folder)


def test_links_inside_a_cache_are_not_followed_when_writing(tmp_path):
    secret = tmp_path / "secret"
    for name in ("output_0.bin", "blocks.jsonl", "x_0.text"):
        secret.write_bytes(b"secret")
        part = tmp_path / name / "part"
        part.mkdir(parents=True)
        (part / name).symlink_to(secret)
        with pytest.raises(DamagedCacheError, match="which is a link"):
            write_store(part)
        assert secret.read_bytes() == b"secret"
    # The name that a header has before it is whole is no secret either.
    part = tmp_path / "header" / "part"
    part.mkdir(parents=True)
    (part / "header.json.part").symlink_to(secret)
    assert RecordReader(write_store(part)).count == 20
    assert secret.read_bytes() == b"secret"


def test_a_part_that_is_a_link_is_not_written(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="and no links to folders"):
        write_store(tmp_path / "part")
    assert [*(tmp_path / "elsewhere").iterdir()] == []


def test_a_hostile_cache_is_refused_by_name(tmp_path):
    teacher = net(16, 1)
    cached(teacher, X, tmp_path)
    edit_header(tmp_path / "00000-of-00001", field(1, "object"))
    for use in (
        lambda: keras_dts.TeacherCache(tmp_path, X),
        lambda: cached(teacher, X, tmp_path),
    ):
        with pytest.raises(DamagedCacheError, match="the field"):
            use()


def test_other_dtypes_are_not_written(tmp_path):
    values = np.zeros((4, 1, 2), "complex64")
    writer = RecordWriter(tmp_path / "part", METADATA)
    with pytest.raises(ValueError, match="output_0 of dtype complex64"):
        writer.append([0, 0, 0], {"output_0": values})
    writer.close()
    assert [*tmp_path.iterdir()] == []
