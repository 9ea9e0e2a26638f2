"""Schedules over epochs, in `fit` and where no `fit` tells the epoch."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp

from keras_dts import Distiller
from keras_dts.losses import KD
from keras_dts.schedules import EpochSchedule
from keras_dts.temperatures import LogitStandardization, ScheduledTemperature

X, Y = blobs()


def distiller(**kwargs):
    model = Distiller(mlp(16, seed=1), mlp(seed=2), KD(), **kwargs)
    model.compile(keras.optimizers.SGD(0.0), crossentropy())
    return model


def logs_of(model, batch_size=16, **kwargs):
    return model.fit(
        X, Y, batch_size=batch_size, shuffle=False, verbose=0, **kwargs
    ).history


def test_weights_and_temperatures_change_with_the_epoch():
    model = distiller(
        student_loss_weight=EpochSchedule([1, 3], [0.0, 1.0, 0.25]),
        distillation_loss_weights=[EpochSchedule([2], [1.0, 3.0])],
        temperature=EpochSchedule([3], [2.0, 5.0]),
    )
    logs = logs_of(model, epochs=4)
    labels = logs["student_loss"]
    taught = np.array(logs["distillation_loss"]) / [1, 1, 3, 3]
    assert logs["temperature"] == [2.0, 2.0, 2.0, 5.0]
    expected = [
        taught[0],
        labels[1],
        labels[2],
        0.25 * labels[3] + 0.75 * 3 * taught[3],
    ]
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)
    assert taught[1] == pytest.approx(taught[0], rel=1e-5)
    assert taught[2] == pytest.approx(taught[0], rel=1e-5)


def test_another_batch_size_and_initial_epoch_change_nothing(tmp_path):
    model = distiller(temperature=EpochSchedule([2, 3], [4.0, 2.0, 1.0]))
    assert logs_of(model, 64, epochs=2)["temperature"] == [4.0, 4.0]
    later = logs_of(model, 8, epochs=4, initial_epoch=2)["temperature"]
    assert later == [2.0, 1.0]
    model.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    (found,) = loaded.temperatures_of(X)
    assert found.student == 1.0
    assert logs_of(loaded, initial_epoch=2, epochs=3)["temperature"] == [2.0]


def test_the_base_of_a_policy_is_told_too():
    schedule = EpochSchedule([1], [2.0, 3.0])
    policy = LogitStandardization(schedule)
    model = distiller(temperature=policy)
    logs_of(model, epochs=2)
    (found,) = model.temperatures_of(X)
    spread = np.std(model.predict(X, verbose=0), axis=-1, ddof=1)
    np.testing.assert_allclose(found.student, 3.0 * spread, rtol=1e-5)


@pytest.mark.parametrize(
    "where", ["student_loss_weight", "distillation_loss_weights", "temperature"]
)
def test_a_step_without_an_epoch_is_refused(where):
    model = distiller(**{where: EpochSchedule([1], [1.0, 0.5])})
    message = "must be used in `keras_dts.Distiller.fit`.*`train_on_batch`"
    with pytest.raises(ValueError, match=message):
        model.train_on_batch(X, Y)
    logs_of(model)
    model.train_on_batch(X, Y)


def test_an_optimizer_is_refused():
    model = distiller()
    schedule = EpochSchedule([1], [0.1, 0.01])
    model.compile(keras.optimizers.SGD(schedule), crossentropy())
    with pytest.raises(ValueError, match=r"`keras.callbacks.LearningRateSch"):
        logs_of(model)


@pytest.mark.parametrize(
    ("boundaries", "values", "message"),
    [
        ([1.5], [0, 1], r"`boundaries` must be a whole .*boundaries=1\.5"),
        ([0], [0, 1], r"`boundaries` must be .* at least 1.*boundaries=0"),
        ([3, 3], [0, 1, 2], r"`boundaries` must be asc.*boundaries=\[3, 3\]"),
        ([3], [0.0], r"`values` must have one .*\[3\], values=\[0\.0\]"),
        ([3], [0, "1"], r"`values` must be a finite number.*values='1'"),
    ],
)
def test_bad_arguments(boundaries, values, message):
    with pytest.raises(ValueError, match=message):
        EpochSchedule(boundaries, values)


def test_every_value_must_be_in_the_range_of_what_it_weighs():
    message = (
        "`student_loss_weight` must be a schedule of .*Received: a "
        "EpochSchedule that is 2.0 at epoch 7"
    )
    with pytest.raises(ValueError, match=message):
        distiller(student_loss_weight=EpochSchedule([7], [0.5, 2.0]))


def test_numpys_numbers_are_saved():
    schedule = EpochSchedule(np.array([2]), np.array([1.0, 4.0]))
    policy = ScheduledTemperature(schedule)
    again = ScheduledTemperature.from_config(policy.get_config())
    assert again.get_config() == policy.get_config()
    assert again.schedule.get_config() == {
        "boundaries": [2],
        "values": [1.0, 4.0],
    }
