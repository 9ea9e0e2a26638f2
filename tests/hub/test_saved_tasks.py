"""Features of backbones, presets and saved distillers."""

import keras
import pytest
from helpers import copies, moved
from text_runs import distil, fit, same_logs
from texts import LABELS, SENTENCES, bert, gpt2

from keras_dts import losses


def test_features_of_backbones_come_from_one_pass(monkeypatch):
    teacher, student = bert(16, 3, seed=1), bert(8, 2)
    calls = []
    layer = student.backbone.get_layer("transformer_layer_1")
    call = layer.call
    monkeypatch.setattr(
        layer, "call", lambda *a, **k: calls.append(1) or call(*a, **k)
    )
    features = keras.distillation.FeatureDistillation(
        "mse",
        "bert_backbone/transformer_layer_2",
        "bert_backbone/transformer_layer_1",
    )
    distiller = distil(
        teacher, student, distillation_losses=[losses.KD(), features]
    )
    (projector,) = distiller.projectors
    before = copies(projector)
    calls.clear()
    fit(distiller, SENTENCES, LABELS, epochs=1, batch_size=4)
    assert len(calls) <= 2  # the step, and Keras's look at the shapes
    assert moved(projector, before) > 1e-4


@pytest.mark.torch  # KerasHub loads them
def test_presets_from_disk_train_as_the_models(tmp_path):
    from keras_hub import models

    first = distil(bert(16, 2, seed=1), bert())
    first.teacher.save_to_preset(tmp_path / "teacher")
    first.student.save_to_preset(tmp_path / "student")
    teacher, student = (
        models.TextClassifier.from_preset(str(tmp_path / name))
        for name in ("teacher", "student")
    )
    again = distil(teacher, student)
    same_logs(
        fit(first, SENTENCES, LABELS), fit(again, SENTENCES, LABELS), 1e-5
    )


# KerasHub's own: its tasks are loaded without their `compile`.
@pytest.mark.filterwarnings("ignore:`compile\\(\\)` was not called")
@pytest.mark.torch  # a route of `equivalence` resumes on every backend
@pytest.mark.parametrize("make", [bert, gpt2])
def test_a_saved_distiller_resumes_with_strings(tmp_path, make):
    y = () if make is gpt2 else (LABELS,)
    run = distil(make(16, seed=1), make(seed=2))
    fit(run, SENTENCES, *y)
    run.save(tmp_path / "run.keras")
    again = keras.models.load_model(tmp_path / "run.keras")
    same_logs(
        fit(again, SENTENCES, *y), fit(run, SENTENCES, *y), tolerance=1e-5
    )
