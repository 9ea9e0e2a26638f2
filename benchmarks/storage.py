"""Measures ways to keep a teacher's answers on disk.

    python benchmarks/storage.py --out results

writes the same records as blocks of 64 and reads them in batches of 64 in a
random order, twice (the second time from the page cache, as in every epoch
after the first one): by the package's own flat files, by array-record, by
TFRecord and by zarr. TFRecord has no random access; it is read in a row
through a shuffle buffer of 2,048. Needs array-record, tensorflow and zarr.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
import zarr
from array_record.python import array_record_data_source, array_record_module

from keras_dts.cache.reader import RecordReader
from keras_dts.cache.writer import RecordWriter

BATCH = 64
# What the header of a cache says.
METADATA = {
    "teacher": "",
    "top_k": None,
    "features": [],
    "from_logits": "auto",
    "views": 1,
    "seed": 0,
    "in_memory": True,
    "examples": {"tuple": ["array", None, None]},
    "changes": False,
}
RECORDS = {
    "image, 100 classes, float32": (50_000, (100,), "float32"),
    "128 tokens, top 50, float16": (4_000, (128, 101), "float16"),
}


def flat(folder: Path, values: np.ndarray) -> Callable[..., Iterator]:
    writer = RecordWriter(folder, METADATA | {"dtype": values.dtype.name})
    for start in range(0, len(values), BATCH):
        writer.append(
            [0] * 3, {"output_0": values[start : start + BATCH, None]}
        )
    writer.finish()
    writer.close()
    reader = RecordReader(folder)

    def read(order: np.ndarray) -> Iterator:
        for start in range(0, len(order), BATCH):
            yield reader.read(reader.fields[0], order[start : start + BATCH])

    return read


def array_record(folder: Path, values: np.ndarray) -> Callable[..., Iterator]:
    file = str(folder / "values.array_record")
    writer = array_record_module.ArrayRecordWriter(file, "group_size:1")
    for value in values:
        writer.write(value.tobytes())
    writer.close()
    source = array_record_data_source.ArrayRecordDataSource(file)
    shape, dtype = values.shape[1:], values.dtype

    def read(order: np.ndarray) -> Iterator:
        for start in range(0, len(order), BATCH):
            found = source.__getitems__(order[start : start + BATCH].tolist())
            yield np.frombuffer(b"".join(found), dtype).reshape(-1, *shape)

    return read


def tfrecord(folder: Path, values: np.ndarray) -> Callable[..., Iterator]:
    file = str(folder / "values.tfrecord")
    with tf.io.TFRecordWriter(file) as writer:
        for value in values:
            writer.write(value.tobytes())
    shape, dtype = values.shape[1:], values.dtype

    def read(order: np.ndarray) -> Iterator:
        data = tf.data.TFRecordDataset(file).shuffle(2048).batch(BATCH)
        data = data.map(lambda x: tf.io.decode_raw(x, dtype)).prefetch(4)
        for batch in data.as_numpy_iterator():
            yield batch.reshape(-1, *shape)

    return read


def zarred(folder: Path, values: np.ndarray) -> Callable[..., Iterator]:
    array = zarr.create_array(
        folder / "values.zarr",
        shape=values.shape,
        chunks=(BATCH, *values.shape[1:]),
        dtype=values.dtype,
        compressors=None,
    )
    for start in range(0, len(values), BATCH):
        array[start : start + BATCH] = values[start : start + BATCH]

    def read(order: np.ndarray) -> Iterator:
        for start in range(0, len(order), BATCH):
            yield array.oindex[np.sort(order[start : start + BATCH])]

    return read


KINDS = {
    "flat files": flat,
    "array-record": array_record,
    "TFRecord": tfrecord,
    "zarr": zarred,
}


def measure(kind: str, values: np.ndarray, rounds: int) -> list[float]:
    """Returns seconds to write, and microseconds a record to read."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        read = KINDS[kind](Path(folder), values)
        written = time.perf_counter() - start
        files = (f for f in Path(folder).rglob("*") if f.is_file())
        size = sum(f.stat().st_size for f in files) / len(values)
        seconds = []
        for _ in range(rounds + 1):
            order = rng.permutation(len(values))
            start = time.perf_counter()
            total = sum(len(batch) for batch in read(order))
            seconds.append(time.perf_counter() - start)
            assert total == len(values)
    return [written, size, 1e6 * statistics.median(seconds[1:]) / len(values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("numpy", "array-record", "tensorflow", "zarr")
    )
    rows = []
    for name, (count, shape, dtype) in RECORDS.items():
        count = 200 if args.small else count
        values = np.random.default_rng(0).normal(size=(count, *shape))
        for kind in KINDS:
            found = measure(kind, values.astype(dtype), args.rounds)
            rows.append([name, kind, *(f"{x:.3f}" for x in found)])
            written, size, read = found
            print(
                f"{name:30} {kind:13} {written:7.2f} s to write, {size:8.0f} "
                f"bytes and {read:8.2f} us a record",
                flush=True,
            )
    with (args.out / f"storage-{platform.machine()}.csv").open(
        "w", newline=""
    ) as file:
        writer = csv.writer(file)
        writer.writerow([f"# {versions}, python {platform.python_version()}"])
        writer.writerow(
            ["records", "kind", "write (s)", "bytes a record", "read (us)"]
        )
        writer.writerows(rows)


if __name__ == "__main__":
    main()
