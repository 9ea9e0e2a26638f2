"""What trainings and evaluations without labels log."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp

import keras_dts

X, LABELS = blobs(32)
COMPARED = {"teacher_kl"}


def distiller(loss=None, metric=None, rate=0.0):
    model = keras_dts.Distiller(
        mlp(9, seed=1), mlp(), student_loss_weight=0.0, temperature=3.0
    )
    model.compile(
        keras.optimizers.SGD(rate),
        loss,
        metrics=["accuracy"] if loss else None,
        distillation_metrics=[metric] if metric else None,
    )
    return model


def kl():
    return keras_dts.metrics.TeacherKL(temperature=3.0)


def test_an_evaluation_logs_what_it_computes():
    model = distiller(crossentropy(), kl())
    with_labels = {"loss", "student_loss", "accuracy", *COMPARED}
    for data, names in (((X, LABELS), with_labels), ((X,), COMPARED)):
        logs = model.evaluate(*data, verbose=0, return_dict=True)
        assert set(logs) == names
        assert set(model.test_on_batch(*data, return_dict=True)) == names


def test_labels_without_a_loss_on_them_are_no_loss_of_0():
    logs = distiller(None, kl()).evaluate(
        X, LABELS, verbose=0, return_dict=True
    )
    assert set(logs) == COMPARED


def test_what_needs_labels_is_not_logged_where_there_are_none():
    model = distiller(crossentropy())
    with_labels = set(model.fit(X, LABELS, verbose=0).history)
    without = set(model.fit(X, verbose=0).history)
    assert with_labels - without == {"accuracy", "gap"}
    assert set(model.fit(X, LABELS, verbose=0).history) == with_labels


@pytest.mark.filterwarnings("ignore:`x` must be finite")
def test_a_broken_batch_logs_what_the_others_do():
    model = distiller(crossentropy())
    model.compile("sgd", crossentropy(), metrics=["accuracy"], on_fault="skip")
    model.fit(X, LABELS, verbose=0)
    bad = X.copy()
    bad[-1] = np.nan
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    good = set(model.fit(X, **options).history)
    assert set(model.fit(bad, **options).history) == good


def test_an_evaluation_of_nothing_is_refused():
    model = distiller(crossentropy())
    with pytest.raises(ValueError, match="`x` must have labels, or `comp"):
        model.evaluate(X, verbose=0)
    with pytest.raises(ValueError, match="`validation_data` must have labels"):
        model.fit(X, LABELS, validation_data=(X,))
    logs = model.evaluate(X, LABELS, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "student_loss", "accuracy"}


def test_the_metric_is_the_loss_of_a_training_step():
    model = distiller(None, kl())
    logs = model.fit(X, validation_data=(X,), batch_size=32, verbose=0).history
    assert not {"val_loss", "val_student_loss"} & set(logs)
    np.testing.assert_allclose(
        logs["val_teacher_kl"], logs["distillation_loss"], rtol=1e-5
    )


def test_a_training_stops_where_the_student_follows_no_better():
    model = distiller(None, kl(), rate=0.1)
    stop = keras.callbacks.EarlyStopping("val_teacher_kl", mode="min")
    logs = model.fit(
        X, validation_data=X, epochs=3, verbose=0, callbacks=[stop]
    ).history["val_teacher_kl"]
    assert len(logs) == 3
    assert logs == sorted(logs, reverse=True)
