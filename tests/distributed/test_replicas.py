"""TensorFlow's replicas and PyTorch's processes train as one device does."""

import json
import os
from pathlib import Path

import cases
import keras
import numpy as np
import pytest
from processes import free_port, run_together, workers

CHILD = Path(__file__).with_name("replica_child.py")
BACKEND = keras.config.backend()
TOLERANCE = 1e-5
# How many replicas; more than 2 where somebody wants to see it.
COUNT = int(os.environ.get("REPLICAS", "2"))
# PyTorch's processes leave out a batch that has no example for each.
NAMES = [name for name in cases.CASES if name != "empty"]
# Of a strategy, or of `torch.distributed`; and Keras's own, where it has one.
WAYS = ["replicas"]
if BACKEND == "torch" and hasattr(
    keras.distribution.DataParallel, "num_data_shards"
):
    WAYS.append("distribution")
if BACKEND == "tensorflow":  # what PyTorch shows need not be shown twice
    NAMES = ["reference", "uneven", "empty", "silent", "sum"]
    NAMES += ["difficulty", "chunks"]


def replicated(test):
    """Marks a test of what JAX does without replicas."""
    return pytest.mark.tensorflow(pytest.mark.torch(test))


@pytest.fixture(scope="module", params=WAYS)
def everything(request):
    return run_all(request.param)


@pytest.fixture(scope="module")
def replicas(everything):
    """What was found, without TensorFlow's workers."""
    return everything[:1] if BACKEND == "tensorflow" else everything


def run_all(way):
    """Returns what processes come to.

    On PyTorch these are the replicas, on TensorFlow one process of all replicas
    and as many workers.
    """
    address = {
        "ADDRESS": f"localhost:{free_port()}",
        "COUNT": str(COUNT),
        "WAY": way,
    }
    added = [{"RANK": str(rank)} for rank in range(COUNT)]
    if BACKEND == "tensorflow":
        added = [{}, *workers(COUNT)]
    printed = run_together(
        [CHILD, ",".join(NAMES)],
        [{**address, **one} for one in added],
        timeout=300,
    )
    return [json.loads(lines.splitlines()[-1]) for lines in printed]


def check(found, alone):
    """Compares what a training ended with, and what it logged."""
    assert set(found) == set(alone)
    for key in alone:
        np.testing.assert_allclose(
            found[key], alone[key], atol=TOLERANCE, rtol=0, err_msg=key
        )


@replicated
@pytest.mark.parametrize("name", [*NAMES, "strings"])
def test_replicas_train_as_one_device(replicas, name):
    alone = replicas[0]["alone"][name]
    for replica in replicas:
        check(replica["together"][name], alone)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["reference", "difficulty"])
def test_workers_train_in_a_loop_as_one_device(everything, name):
    replicas, first, *others = everything
    check(first[name], replicas["alone"][name])
    assert others == [first] * (COUNT - 1)


@replicated
def test_replicas_end_with_the_same_bits(replicas):
    for replica in replicas[1:]:
        assert replica["together"] == replicas[0]["together"]


@replicated
def test_replicas_use_the_same_temperature_in_each_step(replicas):
    first, *others = (
        [replica["used"][rank] for rank, replica in enumerate(replicas)]
        if BACKEND == "torch"
        else replicas[0]["used"]
    )
    assert len(first) >= 20
    assert others == [first] * (COUNT - 1)
    assert len(set(first)) > 10, "it moves"


@replicated
def test_what_learns_by_itself_is_refused(replicas):
    for replica in replicas:
        assert "Received: MetaTemperature" in replica["refused"]


@replicated
def test_a_bad_label_in_one_replica_stops_all(replicas):
    for replica in replicas:
        assert "99" in replica["broken"]["error"]
        assert replica["broken"]["unchanged"]


@pytest.mark.torch
def test_a_weight_without_a_gradient_is_named(replicas):
    for replica in replicas:
        assert "no gradient for ['b/kernel'" in replica["without gradient"]


@pytest.mark.torch
def test_steps_send_few_messages(replicas):
    assert replicas[0]["messages"] == {
        "constant": 2,
        "dts": 2,
        "ctkd": 1,
        "auto": 2,
        "dts of auto": 3,
        "adakd": 4,
    }
