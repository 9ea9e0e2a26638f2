"""Caches on disk: interrupted, resumed, in shards, and read by others."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from caches import DATA, Pages, X, Y, cached, net

import keras_dts
from keras_dts.cache.predictor import TeacherPredictor


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete cache of arrays, and one of batches, as bytes."""
    teacher = net(16, 1)
    found = {}
    for kind, data in (("arrays", DATA), ("batches", Pages())):
        path = tmp_path_factory.mktemp("whole") / kind
        cached(teacher, data, path, batch_size=16, top_k=4)
        found[kind] = contents(path)
    return found


@pytest.mark.parametrize("kind", ["arrays", "batches"])
@pytest.mark.parametrize("seed", range(6))
def test_an_interrupted_run_is_resumed(tmp_path, whole, kind, seed):
    """Cuts every file at any byte that a killed run can leave it at."""
    rng = np.random.default_rng(seed)
    files = whole[kind]
    log = next(name for name in files if name.endswith("blocks.jsonl"))
    cut = int(rng.integers(0, len(files[log])))
    lines = files[log][:cut].count(b"\n")
    blocks = [json.loads(line) for line in files[log].splitlines()]
    names = [n for n in files if not n.endswith((".json", ".jsonl"))]
    header = json.loads(files[log.replace("blocks.jsonl", "header.json")])
    order = [f"{name}.bin" for name, _, _ in header["fields"]]
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == log:
            content = content[:cut]
        elif name in names:
            position = order.index(name.split("/")[-1])
            written = sum(b[2][position] for b in blocks[:lines] if b[2])
            more = int(rng.integers(0, len(content) - written + 1))
            content = content[: written + more]
            # A disk that lost its power may even have other bytes there.
            content += b"?" * int(rng.integers(0, 99))
        file.write_bytes(content)
    data = DATA if kind == "arrays" else Pages()
    cached(net(16, 1), data, tmp_path, batch_size=16, top_k=4)
    assert contents(tmp_path) == files


def test_an_existing_cache_does_not_run_the_teacher(tmp_path, monkeypatch):
    teacher = net(16, 1)
    sizes = []
    predict = TeacherPredictor.predict

    def stop(self, x, start=0):
        if len(sizes) == 3:
            raise KeyboardInterrupt
        sizes.append(len(x))
        return predict(self, x)

    monkeypatch.setattr(TeacherPredictor, "predict", stop)
    with pytest.raises(KeyboardInterrupt):
        cached(teacher, (X, Y), tmp_path, batch_size=10)
    with pytest.raises(ValueError, match="which ends after 30 examples"):
        keras_dts.TeacherCache(tmp_path, X)
    sizes.clear()
    cache = cached(teacher, (X, Y), tmp_path, batch_size=20)
    assert sizes == [20]
    assert cache.verify(teacher) < 1e-5


def test_several_processes_write_and_read_shards(tmp_path):
    teacher = net(16, 1)
    for index in (2, 0, 1):
        part = cached(teacher, DATA, tmp_path / "parts", shard=(index, 3))
        assert len(part) in (16, 17)
    whole = cached(teacher, DATA, tmp_path / "whole")
    parts = cached(teacher, DATA, tmp_path / "parts")
    rows = np.random.default_rng(0).permutation(50)
    for one, other in zip(
        keras.tree.flatten(whole.take(rows)),
        keras.tree.flatten(parts.take(rows)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    script = (
        "import sys, numpy, pathlib\n"
        "from keras_dts.cache.reader import RecordReader\n"
        "reader = RecordReader(pathlib.Path(sys.argv[1]))\n"
        "rows = numpy.arange(reader.count)\n"
        "print(reader.read(reader.fields[0], rows).sum())\n"
    )
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE
        )
        for folder in sorted((tmp_path / "parts").iterdir())
    ]
    sums = [float(reader.communicate()[0]) for reader in readers]
    logits = whole.take(np.arange(50))[0].outputs[0]
    assert sum(sums) == pytest.approx(float(np.sum(logits)), rel=1e-4)
    shutil.rmtree(tmp_path / "parts" / "00001-of-00003")
    with pytest.raises(ValueError, match=r"lacks \['00001-of-00003'\]"):
        cached(teacher, DATA, tmp_path / "parts")


def test_a_cache_holds_no_code(tmp_path, monkeypatch):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path)
    monkeypatch.setattr("pickle.loads", None)
    monkeypatch.setattr("pickle.Unpickler", None)
    assert len(keras_dts.TeacherCache(tmp_path)) == 50
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds == {".bin", ".json", ".jsonl"}


def test_a_changed_file_is_refused(tmp_path, whole):
    def restored():
        for name, content in whole["arrays"].items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path / "00000-of-00001" / "output_0.bin"

    values = restored()
    values.write_bytes(values.read_bytes()[:-1])
    with pytest.raises(ValueError, match="of 499 bytes, where 500"):
        keras_dts.TeacherCache(tmp_path, DATA)
    values = restored()
    content = bytearray(values.read_bytes())
    content[200] ^= 1
    values.write_bytes(content)
    cache = keras_dts.TeacherCache(tmp_path, DATA)
    with pytest.raises(ValueError, match="block 1 has another checksum"):
        cache.verify(net(16, 1))
