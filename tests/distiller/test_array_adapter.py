"""Arrays that several processes are given, in one of them."""

import numpy as np
import pytest
from helpers import BACKEND

from keras_dts.distiller.array_adapter import ArrayAdapter

X = {"a": np.arange(9.0), "b": np.arange(9)}
Y = np.arange(9) % 2


def check_nothing(y):
    """Takes all labels."""


def adapted(check=check_nothing, training=True, **options):
    options = {"x": X, "shuffle": False} | options
    ArrayAdapter(check).adapt(options, teacher=True, training=training)
    return options


def test_one_process_keeps_its_arrays():
    assert BACKEND == "torch"
    assert not ArrayAdapter(check_nothing).takes(X)


def test_arrays_become_batches():
    options = adapted(y=Y, sample_weight=X["a"], batch_size=4)
    assert set(options) == {"x", "shuffle", "callbacks"}
    assert len(options["x"]) == 3
    x, y, weights = options["x"][1]
    assert [list(v) for v in (x["a"], x["b"], y, weights)] == [
        [4, 5, 6, 7],
        [4, 5, 6, 7],
        [0, 1, 0, 1],
        [4, 5, 6, 7],
    ]
    assert x["a"].dtype == "float32"  # as Keras has them
    assert len(adapted()["x"][0]) == 1
    assert adapted(sample_weight=X["a"])["x"][0][1] is None


def test_batches_have_the_size_that_keras_chooses():
    assert [len(adapted()["x"]), len(adapted(steps_per_epoch=4)["x"])] == [1, 3]


def test_the_last_examples_validate():
    options = adapted(y=Y, validation_split=0.3, batch_size=2)
    assert len(options["x"]) == 3
    x, y, _ = options["validation_data"]
    assert (list(x["b"]), list(y)) == ([6, 7, 8], [0, 1, 0])


def test_data_that_evaluate_stay_whole():
    options = adapted(training=False, y=Y, batch_size=4)
    assert options["x"] is X
    assert set(options) == {"x", "shuffle", "y", "batch_size"}


def test_labels_are_checked_as_they_are_given():
    def refuse(y):
        assert y is Y
        raise ValueError("labels")

    with pytest.raises(ValueError, match="labels"):
        adapted(refuse, y=Y)
