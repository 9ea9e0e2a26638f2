"""Processes that train on the same data are dealt the batches of one."""

import json
import pathlib

import keras
import numpy as np
import pytest
from caches import cached, distil, net, same_logs
from processes import free_port, run_together
from train_on_part import DIVIDES, X, Y, train, train_on_arrays, weights

SCRIPT = pathlib.Path(__file__).with_name("train_on_part.py")
BACKEND = keras.config.backend()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("cache")
    for i in range(3):
        cached(net(16, 1), (X, Y), path, shard=(i, 3))
    return path


@pytest.fixture(scope="module")
def found(path):
    """What each of two processes tells."""
    both = {
        "KERAS_BACKEND": BACKEND,
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
        "WORLD_SIZE": "2",
    }
    printed = run_together(
        [SCRIPT, path, f"localhost:{free_port()}"],
        [both | {"RANK": str(rank)} for rank in range(2)],
    )
    return [json.loads(text.splitlines()[-1]) for text in printed]


@pytest.mark.jax
@pytest.mark.torch
def test_two_processes_read_a_cache_as_one_does(path, found):
    distiller = distil(net(16, 1))
    # The seed of the first process holds for both.
    whole = train(distiller, path, seed=7)
    if BACKEND == "jax":  # 4 devices do not divide the last 9 examples
        whole = [batches[:6] for batches in whole]
        for process in found:
            (said,) = process["warnings"]
            assert said.startswith("The last 9 of 81 examples")
    parts = zip(*(process["seen"] for process in found), strict=True)
    joined = [
        [one + other for one, other in zip(*batches, strict=True)]
        for batches in parts
    ]
    assert joined == whole
    if BACKEND == "torch":  # its parts of 4 and 5 examples teach what 9 do
        one, other = (process["weights"] for process in found)
        assert one == other
        for weight, expected in zip(one, weights(distiller), strict=True):
            np.testing.assert_allclose(weight, expected, atol=1e-6)


@pytest.mark.jax
@pytest.mark.torch
def test_other_data_on_a_process_are_refused(found):
    for index, process in enumerate(found):
        # A shard of its own would be dealt again.
        for name in ("shard", "arrays") if BACKEND == "torch" else ("shard",):
            said = process[name]
            assert said.startswith("`x` must be the same on every process")
            assert said.endswith(f"something else on process {1 - index}")


@pytest.mark.torch
def test_other_numbers_of_batches_are_refused(found):
    # Of the user's own batches Keras deals half of them to each process.
    counts = "2, 4" if DIVIDES else "4, 8"
    for process in found:
        assert process["uneven"].startswith("`x` must have the same number")
        assert process["uneven"].endswith(f"for each process: {counts} batches")


@pytest.mark.torch
def test_arrays_are_dealt_as_a_cache_is(found):
    expected, sizes = train_on_arrays(distil(net(16, 1)))
    assert sizes == [12, 12, 12, 12, 12, 4] * 2
    for process in found:
        assert process["sizes"] == [6, 6, 6, 6, 6, 2] * 2
        same_logs(process["logs"], expected)
