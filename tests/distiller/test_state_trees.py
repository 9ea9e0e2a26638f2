"""State trees, as `OrbaxCheckpoint` writes them: without the teacher."""

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, moved, randomize
from keras import layers

from keras_dts import Distiller, DynamicTemperature
from keras_dts.distiller import known_teacher

pytestmark = [pytest.mark.jax, pytest.mark.torch]
X, Y = blobs(32)


def normalized(width, seed):
    """A model that has a variable `bn/moving_mean`."""
    inputs = keras.Input((8,))
    x = layers.Dense(width, name="feat")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    outputs = layers.Dense(3, name="out")(x)
    return randomize(keras.Model(inputs, outputs), seed)


def distiller(teacher_seed=1, policy="policy", **kwargs):
    policy = DynamicTemperature(4.0, 1.0, 4.0, name=policy)
    model = Distiller(
        normalized(6, teacher_seed),
        normalized(4, seed=2),
        temperature=policy,
        **kwargs,
    )
    sgd = keras.optimizers.SGD(0.1, momentum=0.9, name="sgd")
    model.compile(sgd, crossentropy())
    return model


def fit(model, **kwargs):
    return model.fit(X, Y, batch_size=16, shuffle=False, verbose=0, **kwargs)


@pytest.fixture(scope="module")
def fitted():
    model = distiller()
    fit(model)
    return model


def test_a_tree_has_the_student_and_the_temperatures(fitted):
    tree = fitted.get_state_tree("numpy_array")
    own = tree["non_trainable_variables"]
    assert set(own) == {"bn", "policy", "notes"}
    assert own["bn"]["moving_mean"].shape == (4,)
    assert set(tree["trainable_variables"]) == {"feat", "bn", "out"}
    # What Keras sees elsewhere is complete, as before.
    paths = [v.path for v in fitted.non_trainable_variables]
    assert paths.count("bn/moving_mean") == 2


def test_a_tree_continues_a_training(fitted):
    tree = fitted.get_state_tree("numpy_array")
    other = distiller()
    fit(other)
    other.student.set_weights([0 * w for w in other.student.get_weights()])
    before = copies(other.teacher)
    other.set_state_tree(tree)
    assert moved(other.teacher, before) == 0.0
    assert moved(other, copies(fitted)) == 0.0
    for one, two in zip(
        other.optimizer.variables, fitted.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(two)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tree: tree.update(teacher=np.zeros(32, "uint8")),
            r"`teacher` must be the one that these weights were trained with",
        ),
        (
            lambda tree: tree.pop("teacher"),
            r"call `load_weights\(directory\)` in place of `load_model`. Recei",
        ),
        (
            lambda tree: tree["optimizer_variables"].update(
                adam=tree["optimizer_variables"].pop("sgd")
            ),
            r"optimizer_variables.* Received: \['adam/bn_beta_momentum'",
        ),
    ],
    ids=["another teacher", "no teacher", "other paths"],
)
def test_what_does_not_fit_is_refused(fitted, change, message):
    tree = fitted.get_state_tree("numpy_array")
    change(tree)
    before = copies(fitted)
    with pytest.raises(ValueError, match=message):
        fitted.set_state_tree(tree)
    assert moved(fitted, before) == 0.0


def test_a_training_reads_the_teacher_once(monkeypatch, tmp_path):
    reads = []

    def counted(*args, **kwargs):
        reads.append(args)
        return fingerprint(*args, **kwargs)

    fingerprint = known_teacher.fingerprint
    monkeypatch.setattr(known_teacher, "fingerprint", counted)
    path = tmp_path / "run.weights.h5"
    save = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    model = distiller()
    fit(model, epochs=3, callbacks=[save])
    assert len(reads) == 1
    # A teacher that changes between two calls is noticed.
    model.teacher.trainable_weights[0].assign_add(
        keras.ops.ones_like(model.teacher.trainable_weights[0])
    )
    with pytest.raises(ValueError, match="`teacher` must be the one"):
        model.load_weights(path)
