"""Bad input is refused with a clear message, before any weight moves."""

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, mlp, moved, randomize
from keras import layers, ops

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.losses import KD
from keras_dts.temperatures import Temperature

X, Y = blobs()


# What Keras makes of a `ValueError` raised while it builds a model: older
# versions wrap it, message and all.
WHILE_BUILDING = (ValueError, RuntimeError)


def refused(distiller, x, y, message, error=ValueError, **kwargs):
    """Checks that `fit` raises, and that the student is what it was."""
    if not distiller.compiled:
        # AdamW moves weights also where their gradient is zero.
        distiller.compile(
            keras.optimizers.AdamW(0.1, weight_decay=0.5),
            crossentropy(),
        )
    before = copies(distiller.student)
    with pytest.raises(error, match=message):
        distiller.fit(x, y, batch_size=32, verbose=0, **kwargs)
    assert moved(distiller.student, before) == 0.0


class Subclassed(keras.Model):
    """A model without symbolic outputs."""

    def __init__(self, classes=3, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(classes)

    def call(self, x):
        return self.dense(x)


def test_different_class_counts_are_seen_at_construction():
    message = (
        r"`teacher` and `student` must have the same classes. Received: "
        r"outputs of shape \(batch, 5\) from the teacher and \(batch, 3\)"
    )
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(classes=5), mlp(classes=3))


def test_different_class_counts_of_subclassed_models():
    student = Subclassed(3)
    student(X)
    refused(
        Distiller(mlp(classes=5), student),
        X,
        Y,
        r"`teacher` and `student` must have the same classes. Received: "
        r"outputs of shape \(batch, 5\) from the teacher",
        error=WHILE_BUILDING,
    )


def test_different_numbers_of_outputs():
    inputs = keras.Input((8,))
    two = keras.Model(inputs, [layers.Dense(3)(inputs) for _ in range(2)])
    message = r"same outputs. Received: 2 outputs of the teacher, 1 of the st"
    with pytest.raises(ValueError, match=message):
        Distiller(two, mlp())


@pytest.mark.parametrize("shape", [(64, 2), (64, 3, 1), (64, 1, 1)])
def test_labels_of_a_shape_that_fits_nothing(shape):
    refused(
        Distiller(mlp(16), mlp()),
        X,
        np.zeros(shape, "int32"),
        r"`y` must hold class indices of shape \(.*,\) or one-hot labels of "
        r"shape \(.*, 3\), .*Received: y.shape=\(",
    )


@pytest.mark.parametrize("bad", [-1, 3, 255])
def test_labels_out_of_range(bad):
    y = Y.copy()
    y[5] = bad
    student = keras.Sequential(
        [keras.Input((8,)), layers.BatchNormalization(), layers.Dense(3)]
    )
    refused(
        Distiller(mlp(16), student),
        X,
        y,
        r"The class indices in `y` must be at least 0 and less than the "
        rf"number of classes, 3\..* Received: {bad} at y\[5\], in 1 step of ",
        epochs=2,
        shuffle=False,
    )


def test_labels_out_of_range_are_fine_where_they_do_not_count():
    y = Y.copy()
    y[:10] = 99
    weights = (np.arange(64) >= 10).astype("float32")
    distiller = Distiller(mlp(16), mlp())
    distiller.compile("sgd", crossentropy())
    logs = distiller.fit(X, y, sample_weight=weights, verbose=0).history
    assert np.isfinite(logs["loss"][0])


@pytest.mark.parametrize("temperature", [0.0, -2.0, float("nan"), True, "4"])
def test_temperatures_that_are_not_positive(temperature):
    message = "`temperature` must be a positive number, .*Received: temp"
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(seed=1), mlp(seed=2), temperature=temperature)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((4.0, 5.0, 3.0), "`minimum` must be at most `maximum`. Received: mi"),
        ((0.0,), "`initial` must be a finite number, greater than 0"),
        ((4.0, -1.0), "`minimum` must be a finite number, greater than 0"),
    ],
)
def test_bad_bounds(bounds, message):
    with pytest.raises(ValueError, match=message):
        DTS(*bounds)


class Fixed(Temperature):
    """A policy that DTS cannot drive."""

    def of(self, head, *, training):
        two = ops.convert_to_tensor(2.0)
        return type(self).answer(two)

    @staticmethod
    def answer(two):
        from keras_dts.temperatures import Temperatures

        return Temperatures(two, two, two * two)


def test_dts_on_a_policy_it_cannot_drive():
    refused(
        Distiller(mlp(16), mlp(), temperature=Fixed()),
        X,
        Y,
        r"`DTS` drives the `DynamicTemperature` of a `keras_dts.Distiller`: "
        r".*Received: a Distiller with temperature=Fixed",
        callbacks=[DTS()],
    )


def test_dts_on_another_model():
    model = mlp()
    model.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match=r"Received: a Functional with temp"):
        model.fit(X, Y, callbacks=[DTS()], verbose=0)


def test_dts_that_no_loss_would_see():
    refused(
        Distiller(mlp(16), mlp(), KD(temperature=2.0)),
        X,
        Y,
        r"none of the `distillation_losses` uses. Leave the temperature of",
        callbacks=[DTS()],
    )


def test_steps_that_nobody_knows():
    policy = DynamicTemperature(granularity="step")
    distiller = Distiller(mlp(16), mlp(), temperature=policy)
    distiller.compile("sgd", crossentropy())
    batches = ((X[i : i + 16], Y[i : i + 16]) for i in (0, 16))
    message = r"`granularity='step'` needs .* Give `steps_per_epoch` to `fit`"
    with pytest.raises(ValueError, match=message):
        distiller.fit(batches, shuffle=False, verbose=0)


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_something_that_is_no_model(name):
    models = {"teacher": mlp(), "student": mlp()}
    models[name] = layers.Dense(3)
    message = f"`{name}` must be a `keras.Model`. Received: .*of type Dense"
    with pytest.raises(ValueError, match=message):
        Distiller(**models)


class Broken(keras.Model):
    """A model that cannot be built by calling it."""

    def call(self, x):
        raise RuntimeError("no way")


@pytest.mark.parametrize("name", ["teacher", "student"])
def test_a_model_that_cannot_be_built(name):
    models = {"teacher": mlp(16), "student": mlp()}
    models[name] = Broken()
    distiller = Distiller(**models)
    distiller.compile("sgd", crossentropy())
    message = (
        rf"`{name}` must be built, or be built by calling it on a batch. "
        "Received: a Broken, which failed: (.|\\n)*no way"
    )
    with pytest.raises(WHILE_BUILDING, match=message):
        distiller.fit(X, Y, verbose=0)


BROKEN = "The logits of `teacher` must be finite. Received: NaN or infinite"
RULED_OUT = "A class that the teacher 'broken_teacher' rules out by a logit"


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, BROKEN), (np.inf, BROKEN), (-np.inf, RULED_OUT)],
)
def test_teacher_logits_that_are_not_finite(value, message):
    teacher = mlp(16, name="broken_teacher")
    kernel, bias = teacher.get_layer("out").get_weights()
    bias[1] = value
    teacher.get_layer("out").set_weights([kernel, bias])
    where = ", in 1 step of epoch 1 of 1. Such a step changes"
    refused(Distiller(teacher, mlp()), X, Y, f"{message}.*{where}")


def test_teacher_logits_that_break_later_are_named_with_their_epoch():
    class Breaking(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                dense = self.model.teacher.get_layer("out")
                kernel, bias = dense.get_weights()
                dense.set_weights([kernel, bias * np.nan])

    distiller = Distiller(mlp(16), mlp())
    distiller.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match=r"NaN .* of epoch 3 of 5"):
        distiller.fit(X, Y, epochs=5, callbacks=[Breaking()], verbose=0)
    # What the student learned before is not lost, nor spoilt.
    assert all(np.isfinite(w).all() for w in distiller.student.get_weights())


def test_broken_batches_are_refused_by_train_on_batch_too():
    distiller = Distiller(mlp(16), mlp())
    distiller.compile("sgd", crossentropy())
    before = copies(distiller.student)
    with pytest.raises(ValueError, match=r"`y` .* .* of this call"):
        distiller.train_on_batch(X, Y + 1)
    assert moved(distiller.student, before) == 0.0
    distiller.train_on_batch(X, Y)
    assert moved(distiller.student, before) > 0.0


def test_a_layer_that_is_not_there():
    loss = keras.distillation.FeatureDistillation("mse", "feat", "base/deep")
    message = (
        r"`student_layer_name` must name a layer of the model .*Received: "
        r"student_layer_name='base/deep', but .* has no layer 'base'. It has"
        r": \['feat', 'input_layer.*', 'out'\]"
    )
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(16), mlp(), loss)


@pytest.mark.parametrize("value", ["yes", None, (True,), 1])
def test_bad_from_logits(value):
    message = r'`from_logits` must be "auto", True, False, or a pair'
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(seed=1), mlp(seed=2), from_logits=value)


def test_losses_that_do_not_fit_the_outputs():
    message = r"`distillation_losses` must fit the student's outputs: 1"
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(seed=1), mlp(seed=2), [KD(), None])


def test_sample_weights_that_fit_nothing():
    refused(
        Distiller(mlp(16), mlp()),
        X,
        Y,
        r"`sample_weight` must have one value for each example or token",
        sample_weight=np.ones((64, 2), "float32"),
    )


def test_randomize_leaves_statistics_alone():
    model = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(name="norm")]
    )
    randomize(model)
    assert np.all(model.get_layer("norm").get_weights()[3] == 1)


def test_a_step_that_fails_to_compile_loses_nothing():
    distiller = Distiller(mlp(16), mlp())
    distiller.compile("adam", crossentropy())
    distiller.fit(X, Y, verbose=0)
    before = copies(distiller)
    with pytest.raises(ValueError, match="`y` must hold class indices"):
        distiller.fit(X, np.zeros((64, 7), "int32"), verbose=0)
    assert moved(distiller, before) == 0.0
    assert int(ops.convert_to_numpy(distiller.optimizer.iterations)) == 2
    distiller.fit(X, Y, verbose=0)
