"""A training goes on with other replicas as if it had not stopped."""

import json
from pathlib import Path

import cases
import keras
import numpy as np
import pytest
from processes import free_port, run_together

CHILD = Path(__file__).with_name("resume_child.py")
KILLED = Path(__file__).with_name("killed_child.py")
BACKEND = keras.config.backend()
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What processes come to; on TensorFlow one has all replicas."""
    folder = tmp_path_factory.mktemp("resumed")
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


@pytest.mark.torch
def test_processes_go_on_after_one_was_killed(tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone"]
    torchrun += ["--nproc-per-node", "2", "--max-restarts", "1"]
    # Else the new processes may read the addresses of the old ones.
    own_store = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    (printed,) = run_together([*torchrun, KILLED, tmp_path], [own_store])
    said = json.loads(printed.splitlines()[-1])
    assert said["restarts"] == 1
    assert said["begun"] in (1, 2)
    whole = cases.run("difficulty")
    found = said["found"]
    assert set(found) == {name for name in whole if "log" not in name}
    for name, value in found.items():
        np.testing.assert_allclose(
            value, whole[name], atol=TOLERANCE, rtol=0, err_msg=name
        )
