"""The examples of TensorFlow's and PyTorch's engines run on two replicas."""

import ast
import re
from pathlib import Path

import pytest
from processes import free_port, run_together, workers

EXAMPLES = Path(__file__).parents[2] / "examples" / "distributed"


def losses(printed):
    """Returns the losses that Keras's bar of an epoch shows."""
    return [float(loss) for loss in re.findall(r" loss: ([\d.]+)", printed)]


@pytest.mark.torch
def test_processes_go_on_after_a_stop(tmp_path):
    def run(epochs):
        job = {
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(free_port()),
            "WORLD_SIZE": "2",
            "EPOCHS": str(epochs),
        }
        return run_together(
            [EXAMPLES / "torch_ddp.py", tmp_path],
            [{**job, "RANK": str(rank)} for rank in range(2)],
        )

    first, silent = run(1)
    assert not silent, "one process shows the epochs"
    second, _ = run(3)
    assert "Epoch 1/3" not in second
    assert [*losses(first), *losses(second)] == sorted(
        [*losses(first), *losses(second)], reverse=True
    )
    assert len(losses(second)) == 2


@pytest.mark.tensorflow
def test_a_strategy_trains_by_fit():
    (printed,) = run_together([EXAMPLES / "tf_mirrored.py"], [{"DEVICES": "2"}])
    first, second = losses(printed)
    assert second < first


@pytest.mark.tensorflow
def test_workers_train_in_a_loop():
    printed = run_together([EXAMPLES / "tf_workers.py"], workers(2))
    logs = [[ast.literal_eval(s) for s in p.splitlines()] for p in printed]
    assert logs[0] == logs[1]
    first, second = logs[0]
    assert second["loss"] < first["loss"]
    assert 4 < second["temperature"] < first["temperature"] < 8
