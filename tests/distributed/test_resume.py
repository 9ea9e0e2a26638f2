"""A training goes on with other replicas as if it had not stopped."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from processes import free_port, run_once, run_together

CHILD = Path(__file__).with_name("resume_child.py")
BACKEND = keras.config.backend()
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return run_once(tmp_path_factory, "resumed", run_all)[1]


def run_all(folder):
    """Returns what processes come to; on TensorFlow one has all replicas."""
    ranks = 1 if BACKEND == "tensorflow" else 4
    ports = ",".join(str(free_port()) for _ in range(4))
    printed = run_together(
        [CHILD, folder, ports],
        [{"RANK": str(rank)} for rank in range(ranks)],
        timeout=200,
    )
    return [json.loads(lines.splitlines()[-1]) for lines in printed]


@pytest.mark.tensorflow
@pytest.mark.torch
def test_four_two_one_and_four_replicas_train_as_one_device(runs):
    """From a cache in random order, with a focus, whose state is an epoch's."""
    (whole, _), *_ = runs
    for _, parts in runs:
        assert set(parts) == set(whole)
        for name in whole:
            np.testing.assert_allclose(
                parts[name], whole[name], atol=TOLERANCE, rtol=0, err_msg=name
            )


@pytest.mark.tensorflow
@pytest.mark.torch
def test_the_temperature_of_the_training_moves(runs):
    whole = runs[0][0]
    state = np.concatenate(
        [np.ravel(v) for name, v in whole.items() if "policy" in name]
    )
    assert 12 in state, "the steps of all epochs"
