"""Attacks on caches: killed, damaged, hostile, and written by two at once.

    KERAS_BACKEND=torch python -m pytest tests/attacks -m attack

prints what each attack led to. A run takes a few minutes.
"""

import functools
import itertools
import os
import shutil
import signal
import time
import warnings

import numpy as np
import pytest
from caches import cached, net
from forks import outcome_of, start
from helpers import blobs
from stores import METADATA, edit_header, write_store

import keras_dts
from keras_dts.cache.reader import RecordReader

pytestmark = [
    pytest.mark.attack,
    pytest.mark.filterwarnings(
        "ignore:__array__",
        "ignore:.*fork:DeprecationWarning",
        "ignore:A cache is damaged",
    ),
]

EXAMPLES = 200
X, Y = blobs(EXAMPLES, classes=12)


def contents(path):
    return {
        file.relative_to(path): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


class Stream:
    """Batches that can be read again, in an order that may be another one."""

    def __init__(self, size=2, seed=None):
        self.size, self.seed = size, seed

    def __iter__(self):
        rows = np.arange(EXAMPLES)
        if self.seed is not None:
            np.random.default_rng(self.seed).shuffle(rows)
        for start_ in range(0, EXAMPLES, self.size):
            chosen = rows[start_ : start_ + self.size]
            yield X[chosen], Y[chosen]


KILLED = {
    "arrays": ((X, Y), {}),
    "a stream": (Stream(), {}),
    "top_k in 8 bits": ((X, Y), {"top_k": 4, "dtype": "uint8"}),
    "features": ((X, Y), {"features": ["feat"]}),
}


@pytest.mark.parametrize("kind", KILLED)
def test_kill_9(tmp_path, outcomes, kind):
    """Ten kills at random moments of a run of 100 blocks."""
    data, options = KILLED[kind]
    make = functools.partial(cached, net(16, 1), data, batch_size=2, **options)
    begin = time.perf_counter()
    make(tmp_path / "whole")
    seconds = time.perf_counter() - begin
    expected = contents(tmp_path / "whole")
    rng = np.random.default_rng(0)
    for number in range(10):
        path = tmp_path / str(number)
        pid = start(make, path)
        time.sleep(rng.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        moment = "killed" if outcome_of(pid) == "SIGKILL" else "done"
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "A cache is damaged")
            make(path)
        result = "the same bytes" if contents(path) == expected else "others"
        outcomes[f"{moment}, then {result}"] += 1
    assert not any("others" in outcome for outcome in outcomes)


# Damage of bytes.


@pytest.fixture
def stores(tmp_path):
    """Three stores: complete, of one block, and interrupted."""
    return [
        write_store(tmp_path / "whole"),
        write_store(tmp_path / "small", stop=4),
        write_store(tmp_path / "begun", stop=12, finish=False),
    ]


def values_of(folder):
    """Reads all as `fit` does."""
    reader = RecordReader(folder)
    rows = np.arange(reader.count)
    read = [reader.read(field, rows).tolist() for field in reader.fields]
    return read, reader.metadata, [block.given for block in reader.blocks]


def told(folder, expected):
    """Returns what reading a damaged store leads to."""
    try:
        found = values_of(folder)
    except ValueError as error:
        return "named" if str(error).startswith("`path` must") else "obscure"
    except Exception:  # what a damage may raise is the question
        return "obscure"
    return "without effect" if found == expected else "silent"


def test_single_bits_of_header_and_log(outcomes, stores):
    for folder in stores:
        expected = None if folder.name == "begun" else values_of(folder)
        for name in ("header.json", "blocks.jsonl"):
            file = folder / name
            whole = file.read_bytes()
            for bit in range(8 * len(whole)):
                content = bytearray(whole)
                content[bit // 8] ^= 1 << bit % 8
                file.write_bytes(content)
                outcomes[told(folder, expected)] += 1
            file.write_bytes(whole)
    assert outcomes["obscure"] == outcomes["silent"] == 0


def damage(rng, content):
    """Returns other bytes in the place of some."""
    content = bytearray(content)
    first, last = sorted(rng.integers(0, len(content) + 1, 2))
    kind = rng.integers(5)
    if kind == 0:
        content[first % len(content)] ^= 1 << rng.integers(8)
    elif kind == 1:
        del content[first:]
    elif kind == 2:
        content[first:last] = bytes(last - first)
    elif kind == 3:
        content += rng.bytes(9)
    else:
        content[first:last] = rng.bytes(last - first)
    return bytes(content)


def test_random_damage(outcomes, stores, tmp_path):
    """300 damages of a complete store: told, and then made again."""
    rng = np.random.default_rng(0)
    folder = stores[0]
    before, expected = contents(folder), values_of(folder)
    names = [*before]
    healed = 0
    while outcomes.total() < 300:
        name = names[rng.integers(len(names))]
        content = damage(rng, before[name])
        if content == before[name]:
            continue
        (folder / name).write_bytes(content)
        outcomes[told(folder, expected)] += 1
        if name.name == "header.json":
            shutil.rmtree(folder)  # as the error says
        write_store(folder)
        healed += contents(folder) == before
    assert outcomes == {"named": 300}
    assert healed == 300


# Two writers.

WRITERS = {
    "the same call": ((X, Y), (X, Y)),
    "another batch size": ((X, Y), (X, Y)),
    "another stream": (Stream(2), Stream(3)),
    "a stream that shuffles": (Stream(seed=0), Stream(seed=1)),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("killed", [False, True])
def test_two_writers(tmp_path, outcomes, kind, killed):
    """Six times each: the second one is refused, or finds a whole cache."""
    rng = np.random.default_rng(0)
    teacher = net(16, 1)
    second_size = 5 if kind == "another batch size" else 2
    for number in range(6):
        make = functools.partial(cached, teacher, path=tmp_path / str(number))
        pids = []
        for data, size in zip(WRITERS[kind], (2, second_size), strict=True):
            pids.append(start(functools.partial(make, data, batch_size=size)))
            time.sleep(rng.uniform(0, 0.05))
        if killed:
            os.kill(pids[1], signal.SIGKILL)
        ends = [outcome_of(pid) for pid in pids]
        outcomes[" and ".join(sorted(ends))] += 1
        assert ends[0] == "fine" or ends[1] == "fine"
        assert set(ends) <= {"fine", "in use", "named", "SIGKILL"}
        given = (X, Y) if isinstance(WRITERS[kind][0], tuple) else None
        cache = keras_dts.TeacherCache(tmp_path / str(number), given)
        assert cache.verify(teacher, samples=EXAMPLES) < 1e-5
        inputs = cache.take(np.arange(EXAMPLES))[0].inputs
        assert {row.tobytes() for row in inputs} == {row.tobytes() for row in X}


# Headers of strangers.

DTYPES = [
    "object",
    "O",
    "O8",
    "f4,f4",
    ">f4",
    "V20",
    "S4",
    "U4",
    "m8",
    "int32",
    "float16",
    "text",
    "",
    None,
    4,
    ["object"],
    {"a": 1},
]
NAMES = [
    "../../secret",
    "/tmp/secret",
    "../secret",
    "..",
    ".",
    "",
    "header",
    "output_0/../../../secret",
    "output_0\x00",
    "output_1",
    "x_0",
    None,
    0,
]
SHAPES = [
    [-1],
    [2**62],
    [10**10],
    [0],
    [1],
    [1, 2, 3],
    [1.5],
    ["1"],
    None,
    3,
    [[1]],
    [True, 2],
    [10**400],
    [1] * 99,
]
METADATA_VALUES = [
    None,
    -1,
    0,
    10**400,
    "object",
    [],
    {},
    [[]],
    True,
    1.5,
    "\ud800",
    ["feat"] * 9,
    {"tuple": []},
    {"dict": [["a", 1]]},
]


def headers():
    """Yields changes of a header."""
    for position, values in enumerate((NAMES, DTYPES, SHAPES)):
        for value, field in itertools.product(values, range(3)):
            yield lambda h, f=field, p=position, v=value: h["fields"][
                f
            ].__setitem__(p, v)
    for name, value in itertools.product(METADATA, METADATA_VALUES):
        yield lambda h, n=name, v=value: h["metadata"].__setitem__(n, v)
    for value in METADATA_VALUES:
        yield lambda h, v=value: h.update(fields=v)
        yield lambda h, v=value: h.update(metadata=v)
        yield lambda h, v=value: h.update(format=v)


def use(folder, expected):
    """Opens and reads a store, and writes the rest of it."""
    try:
        read, _, _ = values_of(folder)
        # In another shape, if their bytes fit it.
        if [np.ravel(v).tolist() for v in read] != expected:
            raise RuntimeError("other values")
    finally:
        write_store(folder)


def test_hostile_headers(outcomes, tmp_path):
    """Headers with checksums that fit, opened, read and gone on with."""
    inside = tmp_path / "a" / "b"
    template = write_store(tmp_path / "template")
    expected = [np.ravel(v).tolist() for v in values_of(template)[0]]
    outside = {}
    for name in ("secret.bin", "secret.text", "secret.ends"):
        for place in (tmp_path, tmp_path / "a"):
            place.mkdir(exist_ok=True)
            (place / name).write_bytes(b"secret")
            outside[place / name] = b"secret"
    for change in headers():
        folder = inside / "part"
        shutil.rmtree(inside, ignore_errors=True)
        shutil.copytree(template, folder)
        try:
            edit_header(folder, change)
        except (TypeError, ValueError):  # nothing that JSON can say
            outcomes["no JSON"] += 1
            continue
        outcomes[outcome_of(start(use, folder, expected))] += 1
        assert {file: file.read_bytes() for file in outside} == outside
    assert set(outcomes) <= {"fine", "named", "no JSON"}


# Other data.


def test_other_data(outcomes, tmp_path):
    """Changed and swapped inputs, and labels in another order."""
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path, batch_size=2)
    rng = np.random.default_rng(0)

    def others():
        for _ in range(100):
            x = X.copy()
            x[rng.integers(EXAMPLES)] += 1
            yield x, Y
        for _ in range(100):
            x = X.copy()
            one, other = rng.choice(EXAMPLES, 2, replace=False)
            x[[one, other]] = x[[other, one]]
            yield x, Y
        yield X, np.roll(Y, 1)

    for data in others():
        try:
            cache = keras_dts.TeacherCache(tmp_path, data)
        except ValueError:
            outcomes["refused when opened"] += 1
            continue
        try:
            cache.verify(teacher, samples=1)
        except ValueError:
            outcomes["refused by verify"] += 1
        else:
            outcomes["accepted"] += 1
    assert outcomes["accepted"] == 0
