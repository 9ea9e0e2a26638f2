"""Processes that train from one cache read the batches of one process."""

import json
import pathlib

import keras
import numpy as np
import pytest
from caches import cached, distil, net
from processes import free_port, run_together
from train_on_part import X, Y, train

SCRIPT = pathlib.Path(__file__).with_name("train_on_part.py")


@pytest.mark.jax
@pytest.mark.torch
def test_two_processes_read_the_batches_of_one(tmp_path):
    teacher = net(16, 1)
    for i in range(3):
        cached(teacher, (X, Y), tmp_path, shard=(i, 3))
    both = {
        "KERAS_BACKEND": keras.config.backend(),
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "WORLD_SIZE": "2",
    }
    printed = run_together(
        [SCRIPT, tmp_path, f"localhost:{free_port()}"],
        [both | {"RANK": str(rank)} for rank in range(2)],
    )
    found = [json.loads(text.splitlines()[-1]) for text in printed]
    parts, said, weights = zip(*found, strict=True)
    # The seed of the first process holds for both.
    distiller = distil(teacher)
    whole = train(distiller, tmp_path, seed=7)
    if keras.config.backend() == "jax":  # 4 devices do not divide 9 examples
        whole = [batches[:6] for batches in whole]
        for messages in said:
            assert messages.pop(0).startswith("The last 9 of 81 examples")
    else:  # parts of 4 and of 5 examples teach what 9 do
        for weight, expected in zip(
            weights[0], distiller.student.get_weights(), strict=True
        ):
            np.testing.assert_allclose(weight, expected, atol=1e-6)
        assert weights[0] == weights[1]
    joined = [
        [one + other for one, other in zip(*batches, strict=True)]
        for batches in zip(*parts, strict=True)
    ]
    assert joined == whole
    # Each one's own shard would be a part of a part.
    for index, (message,) in enumerate(said):
        assert "`x` must be the same on every process" in message
        assert f"0000{index}-of-00003" in message
