"""`DTS` and the temperature in `fit`, its logs and its progress."""

import csv

import keras
import pytest
from helpers import blobs, crossentropy, mlp, number

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.losses import KD

X, Y = blobs()
SEEN = {"loss", "student_loss", "distillation_loss", "temperature", "gap"}


def distiller(**kwargs):
    model = Distiller(mlp(16, seed=1), mlp(seed=2), **kwargs)
    model.compile(keras.optimizers.SGD(0.05), crossentropy())
    return model


def test_progress_bar_history_and_csv_show_the_parts(tmp_path, capsys):
    history = distiller().fit(
        X,
        Y,
        epochs=2,
        callbacks=[DTS(), keras.callbacks.CSVLogger(tmp_path / "log.csv")],
        verbose=2,
    )
    assert set(history.history) == SEEN
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in SEEN)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for name in SEEN:
        logged = [float(row[name]) for row in rows]
        assert logged == pytest.approx(history.history[name])


def test_tensorboard_shows_the_parts(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    history = distiller().fit(
        X,
        Y,
        epochs=2,
        callbacks=[DTS(), keras.callbacks.TensorBoard(tmp_path)],
        verbose=0,
    )
    events = event_accumulator.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    tags = {tag.removeprefix("epoch_") for tag in events.Tags()["tensors"]}
    assert tags >= SEEN
    (_, last) = events.Tensors("epoch_temperature")
    value = float(tensor_util.make_ndarray(last.tensor_proto))
    assert value == pytest.approx(history.history["temperature"][-1])


def test_progress_is_the_share_of_the_epochs():
    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            noted.append(number(self.model.temperature.progress))

    noted: list = []
    distiller().fit(
        X,
        Y,
        batch_size=32,
        epochs=4,
        initial_epoch=1,
        callbacks=[DTS(), Note()],
        verbose=0,
    )
    expected = [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    assert noted == pytest.approx(expected)


def test_step_granularity_ends_at_one():
    policy = DynamicTemperature(granularity="step", momentum=0.0)
    model = distiller(temperature=policy)
    logs = model.fit(X, Y, batch_size=16, epochs=3, verbose=0).history
    assert number(policy.progress) == pytest.approx(1.0, abs=1e-6)
    assert number(policy.progress_per_step) == pytest.approx(1 / 12)
    assert logs["temperature"][-1] == pytest.approx(2.0)


def test_missing_bounds_of_a_constant_are_the_published_ones():
    model = distiller(temperature=4.0)
    model.fit(X, Y, callbacks=[DTS()], verbose=0)
    assert model.temperature.bounds == (4.0, 2.0, 4.0)
    model = distiller(temperature=4.0)
    model.fit(X, Y, callbacks=[DTS(8.0, maximum=9.0)], verbose=0)
    assert model.temperature.bounds == (8.0, 4.0, 9.0)


def test_missing_bounds_of_a_policy_are_its_own():
    model = distiller(temperature=DynamicTemperature(6.0, 3.0, 7.0))
    model.fit(X, Y, callbacks=[DTS(minimum=1.0)], verbose=0)
    assert model.temperature.bounds == (6.0, 1.0, 7.0)


def test_fit_moves_a_temperature_that_is_not_constant():
    model = distiller(temperature=DynamicTemperature())
    model.fit(X, Y, epochs=2, verbose=0)
    assert number(model.temperature.progress) == 1.0
    model = distiller(temperature=4.0)
    model.fit(X, Y, epochs=2, verbose=0)
    assert number(model.temperature.progress) == 0.0
    assert number(model.temperature.temperature) == 4.0


def test_the_policy_of_a_loss_moves_too():
    policy = DynamicTemperature(4.0, 1.0, 4.0)
    model = Distiller(mlp(16, seed=1), mlp(seed=2), KD(temperature=policy))
    model.compile(keras.optimizers.SGD(0.05), crossentropy())
    model.fit(X, Y, batch_size=2, epochs=4, verbose=0)
    assert number(policy.progress) == 1.0
    assert number(policy.temperature) == pytest.approx(1.0, abs=0.1)


def test_fit_takes_callbacks_in_any_form():
    for callbacks in (
        None,
        DTS(),
        (DTS(),),
        keras.callbacks.CallbackList([DTS()]),
    ):
        model = distiller(temperature=DynamicTemperature())
        model.fit(X, Y, 32, 2, 0, callbacks)
        assert number(model.temperature.progress) == 1.0


def test_a_second_fit_continues_from_the_temperature():
    model = distiller()
    for _ in range(2):
        logs = model.fit(X, Y, epochs=30, callbacks=[DTS()], verbose=0).history[
            "temperature"
        ]
    # The cosine starts again, the momentum continues from the last fit.
    assert logs[0] == pytest.approx(2.19 + 0.1 * 1.81, abs=0.15)
