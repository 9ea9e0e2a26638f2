"""Stores of a cache that tests damage: made without a teacher, and fast."""

import json
import zlib

import numpy as np

from keras_dts.cache.header import FORMAT, HEADER
from keras_dts.cache.log import LOG, Block
from keras_dts.cache.writer import RecordWriter

METADATA = {
    "teacher": "00",
    "top_k": None,
    "dtype": "float32",
    "features": [],
    "from_logits": "auto",
    "views": 1,
    "seed": 0,
    "in_memory": False,
    "examples": {"tuple": ["array", "array", None]},
    "changes": False,
}
RECORDS, BLOCK = 20, 4


def records(start, stop):
    """Returns the fields of some records: numbers that name their record."""
    rows = np.arange(start, stop)
    return {
        "output_0": np.stack([rows, -rows], -1)[:, None].astype("float32"),
        "x_0": np.array([f"text {row}" for row in rows], dtype=object),
        "y_0": rows.astype("int32"),
    }


def write_store(folder, stop=RECORDS, finish=True):
    """Writes a store, or the rest of one, and returns its folder."""
    writer = RecordWriter(folder, METADATA)
    try:
        for start in range(writer.count, stop, BLOCK):
            writer.append([start, 1, 0], records(start, start + BLOCK))
        if finish and not writer.is_complete:
            writer.finish()
    finally:
        writer.close()
    return folder


def edit_header(folder, change):
    """Changes a header as a stranger would: with the checksums that fit."""
    header = json.loads((folder / HEADER).read_text())
    change(header)
    content = [FORMAT, header["metadata"], header["fields"]]
    seal = zlib.crc32(json.dumps(content, sort_keys=True).encode())
    header["checksum"] = seal
    (folder / HEADER).write_text(json.dumps(header))
    lines = (folder / LOG).read_text().splitlines()
    with (folder / LOG).open("wb") as log:
        for line in lines:
            *values, _ = json.loads(line)
            sealed, seal = Block(*values).sealed(seal)
            log.write(sealed)
    return folder
