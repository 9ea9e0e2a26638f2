"""A cache stores logits, and a distiller gets the outputs of its teacher."""

import json

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, mlp, moved
from keras import layers

import keras_dts
from keras_dts import losses

X, Y = blobs(48, classes=5)
BINARY = (Y > 1).astype("int32")

# How far a step's losses may be off, by what a number of this dtype rounds.
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "uint8": 0.02}

TEACHERS = {
    "a softmax": (5, "softmax"),
    "logits": (5, None),
    "a sigmoid unit": (1, "sigmoid"),
    "a unit of logits": (1, None),
}


def distil(teacher, loss=None, **kwargs):
    (classes,) = teacher.output_shape[1:]
    keras.utils.set_random_seed(0)
    distiller = keras_dts.Distiller(
        teacher, mlp(4, classes, seed=2), loss, temperature=2.0, **kwargs
    )
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    distiller.compile(
        keras.optimizers.SGD(0.1), binary if classes == 1 else crossentropy()
    )
    return distiller


def labels(classes):
    return BINARY[:, None] if classes == 1 else Y


def logs_of(distiller, *data):
    history = distiller.fit(*data, batch_size=16, shuffle=False, verbose=0)
    return {name: values[0] for name, values in history.history.items()}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", TEACHERS)
def test_a_cache_of_any_dtype_trains_as_the_teacher_does(tmp_path, kind, dtype):
    classes, activation = TEACHERS[kind]
    teacher = mlp(16, classes, seed=1, activation=activation)
    y = labels(classes)
    cache = keras_dts.cache_teacher(
        teacher, (X, y), tmp_path, dtype=dtype, verbose=False
    )
    live = logs_of(distil(teacher), X, y)
    assert abs(live["distillation_loss"]) > 0.05
    logs = logs_of(distil(teacher), cache)
    for name in ("distillation_loss", "gap", "student_loss"):
        assert logs[name] == pytest.approx(live[name], abs=TOLERANCE[dtype])


class MeanSquares(keras.distillation.DistillationLoss):
    """A user's loss, which reads outputs as the teacher returns them."""

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        squares = keras.ops.square(teacher_outputs - student_outputs)
        return keras.ops.mean(squares)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", ["softmax", None])
def test_losses_on_outputs_read_what_the_teacher_returns(
    tmp_path, activation, dtype
):
    teacher = mlp(16, 5, seed=1, activation=activation)
    cache = keras_dts.cache_teacher(
        teacher, (X, Y), tmp_path, dtype=dtype, verbose=False
    )
    live = logs_of(distil(teacher, MeanSquares()), X, Y)
    logs = logs_of(distil(teacher, MeanSquares()), cache)
    assert logs["distillation_loss"] == pytest.approx(
        live["distillation_loss"], rel=2 * TOLERANCE[dtype]
    )


def tags_and_classes(hidden, seed):
    """A model with a softmax, and with five labels that may all be true."""
    inputs = keras.Input((8,))
    x = layers.Dense(hidden, activation="relu")(inputs)
    outputs = {
        "classes": layers.Dense(5, activation="softmax")(x),
        "tags": layers.Dense(5, activation="sigmoid")(x),
    }
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model


def test_outputs_that_are_no_distribution_are_stored_unchanged(tmp_path):
    teacher = tags_and_classes(16, 1)
    cache = keras_dts.cache_teacher(teacher, X, tmp_path, verbose=False)
    computed = teacher.predict(X, verbose=0)
    classes, tags = cache.take(np.arange(48))[0].outputs
    np.testing.assert_allclose(tags, computed["tags"], atol=1e-6)
    np.testing.assert_allclose(np.exp(classes), computed["classes"], atol=1e-6)
    with pytest.raises(ValueError, match="no distribution over classes"):
        keras_dts.cache_teacher(
            teacher, X, tmp_path / "top", top_k=2, verbose=False
        )


# Losses that need every class.


def losses_on_outputs():
    return {
        "MeanSquares": MeanSquares(),
        "FeatureDistillation": keras.distillation.FeatureDistillation("mse"),
    }


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("name", ["MeanSquares", "FeatureDistillation"])
def test_losses_on_outputs_refuse_a_cache_with_top_k(tmp_path, name, dtype):
    teacher = mlp(16, 5, seed=1)
    cache = keras_dts.cache_teacher(
        teacher, (X, Y), tmp_path, top_k=3, dtype=dtype, verbose=False
    )
    loss = losses_on_outputs()[name]
    refused(distil(teacher, [losses.KD(), loss]), cache, name)


def refused(distiller, cache, name):
    """Checks that `fit` names the loss before any weight has changed."""
    before = copies(distiller.student)
    steps = []
    on_batch = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: steps.append(batch)
    )
    message = f"`top_k` of the cache must be `None` for `{name}`"
    for data in ((cache,), (X, Y)):
        options = {} if data[0] is cache else {"validation_data": cache}
        with pytest.raises(ValueError, match=message):
            distiller.fit(*data, **options, callbacks=[on_batch], verbose=0)
    assert steps == []
    assert moved(distiller.student, before) == 0


@pytest.mark.parametrize("loss", ["MLKD", "BatchCorrelation"])
def test_losses_on_logits_refuse_a_cache_with_top_k(tmp_path, loss):
    teacher = mlp(16, 5, seed=1)
    cache = keras_dts.cache_teacher(
        teacher, (X, Y), tmp_path, top_k=3, verbose=False
    )
    refused(distil(teacher, getattr(losses, loss)()), cache, loss)


class Unbuilt(keras.Model):
    """A student whose outputs are unknown before the first batch."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(5)

    def call(self, x):
        return self.dense(x)


def test_a_cache_with_top_k_is_refused_for_students_that_are_not_built(
    tmp_path,
):
    teacher = mlp(16, 5, seed=1)
    cache = keras_dts.cache_teacher(
        teacher, (X, Y), tmp_path, top_k=3, verbose=False
    )
    distiller = keras_dts.Distiller(teacher, Unbuilt(), losses.MLKD())
    distiller.compile("sgd", crossentropy())
    refused(distiller, cache, "MLKD")


# BatchCorrelation's output needs every class and has it: 3 of 3 are stored.
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_losses_may_read_outputs_with_few_classes(tmp_path):
    def two_outputs(hidden, seed):
        inputs = keras.Input((8,))
        x = layers.Dense(hidden, activation="relu")(inputs)
        return keras.Model(inputs, [layers.Dense(5)(x), layers.Dense(3)(x)])

    keras.utils.set_random_seed(0)
    teacher, student = two_outputs(16, 1), two_outputs(4, 2)
    cache = keras_dts.cache_teacher(
        teacher, X, tmp_path, top_k=3, dtype="float32", verbose=False
    )
    distiller = keras_dts.Distiller(
        teacher, student, [losses.KD(), losses.BatchCorrelation()]
    )
    distiller.compile("sgd", loss=None)
    with pytest.raises(ValueError, match="for `BatchCorrelation`"):
        distiller.fit(cache, verbose=0)
    distiller = keras_dts.Distiller(
        teacher, student, [[losses.KD(), losses.BatchCorrelation()]]
    )
    distiller.compile("sgd", loss=None)
    logs = distiller.fit(cache, verbose=0).history
    assert logs["distillation_loss"][0] > 0


# Caches of another format.


@pytest.mark.parametrize("number", [1, 2])
def test_a_cache_of_an_older_format_is_refused(tmp_path, number):
    teacher = mlp(16, 5, seed=1)
    keras_dts.cache_teacher(teacher, (X, Y), tmp_path, verbose=False)
    (file,) = tmp_path.rglob("header.json")
    header = json.loads(file.read_text())
    del header["checksum"]
    old = {
        1: {
            "about": {"format": 1, **header["metadata"]},
            "fields": header["fields"],
        },
        2: header | {"format": 2},
    }
    file.write_text(json.dumps(old[number]))
    for read in (
        lambda: keras_dts.TeacherCache(tmp_path, (X, Y)),
        lambda: keras_dts.cache_teacher(
            teacher, (X, Y), tmp_path, verbose=False
        ),
    ):
        with pytest.raises(ValueError, match=r"`path` .* format 3") as error:
            read()
        assert f"of format {number}" in str(error.value)
        assert "call `keras_dts.cache_teacher` again" in str(error.value)
