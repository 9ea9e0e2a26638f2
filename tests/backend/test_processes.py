"""Which part of a batch a process trains on, and what processes agree on."""

import contextlib
import random
from types import SimpleNamespace

import keras
import pytest

from keras_dts.backend import (
    batch_multiple,
    dealing,
    process_part,
    undivided,
)


def test_one_process_takes_all_of_each_batch():
    assert (process_part(), batch_multiple()) == ((0, 1), 1)
    state = random.getstate()
    assert dealing("x", 9, 4, shuffle=False) == {
        "seed": 0,
        "part": (0, 1),
        "drop_remainder": False,
    }
    assert random.getstate() == state  # nothing is drawn in vain


def test_the_seed_follows_from_that_of_keras():
    seeds = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        seeds.append(dealing("x", 9, 4, shuffle=True)["seed"])
    assert seeds[0] == seeds[1] != seeds[2]


def test_keras_does_not_divide_what_is_dealt(monkeypatch):
    found = SimpleNamespace(auto_shard_dataset=True, num_data_shards=2)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: found)
    with contextlib.suppress(KeyError), undivided():
        assert not found.auto_shard_dataset
        raise KeyError
    assert found.auto_shard_dataset
    del found.num_data_shards  # of a Keras that divides no such data
    with undivided():
        assert found.auto_shard_dataset


@pytest.mark.jax
def test_devices_share_batches_evenly():
    with keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]).scope():
        assert (process_part(), batch_multiple()) == ((0, 1), 2)
        dropped = [
            dealing("x", examples, 4, shuffle=False)["drop_remainder"]
            for examples in (8, 9, 10)
        ]
        assert dropped == [False, True, False]
        message = "`batch_size` must be a multiple .* batch_size=3, and 2 repl"
        with pytest.raises(ValueError, match=message):
            dealing("x", 9, 3, shuffle=False)
