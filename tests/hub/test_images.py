"""Raw images train as those that each task's preprocessor makes of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import copies, mlp, randomize
from keras_hub import layers, models
from text_runs import distil, fit, same_logs

import keras_dts

LABELS = np.array([0, 2, 1, 0], "int32")
# Floats, since KerasHub rounds resized integers, and not on each backend.
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 12, 12, 3))
IMAGES = IMAGES.astype("float32")


def converter(size, scale=1 / 255, **kwargs):
    return layers.ImageConverter((size, size), scale, **kwargs)


def classifier(size=8, seed=0, scale=1 / 255, preprocess=True):
    inputs = keras.Input((None, None, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    task = models.ImageClassifier(
        models.Backbone(inputs, features),
        num_classes=3,
        preprocessor=models.ImageClassifierPreprocessor(
            converter(size, scale, offset=-0.5)
        )
        if preprocess
        else None,
    )
    return randomize(task, seed, 0.3)


def plain_model():
    return keras.Sequential(
        [keras.Input((12, 12, 3)), keras.layers.Flatten(), mlp(width=432)]
    )


def raw_pair(**kwargs):
    """A teacher and a student whose preprocessors differ."""
    return distil(classifier(8, seed=1), classifier(6, scale=0.01), **kwargs)


def prepared_pair():
    """The same models, and what takes their inputs ready from a batch."""
    return distil(
        classifier(seed=1, preprocess=False),
        classifier(preprocess=False),
        teacher_inputs=lambda x: x["teacher"],
        student_inputs=lambda x: x["student"],
    )


def prepared(x, distiller):
    """What both preprocessors make of images."""
    return {
        role: keras.ops.convert_to_numpy(
            getattr(distiller, role).preprocessor(x)
        )
        for role in ("teacher", "student")
    }


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        return IMAGES[rows], LABELS[rows]


class ListedBatches:
    """Batches that can be read again, as lists, as a `DataLoader` has them."""

    def __len__(self):
        return 2

    def __iter__(self):
        yield from (list(Batches()[i]) for i in range(2))


FORMS = {
    "arrays": lambda: (IMAGES, LABELS),
    "lists": lambda: (IMAGES.tolist(), LABELS.tolist()),
    "float64": lambda: (IMAGES.astype("float64"), LABELS),
    "a data set": lambda: (
        tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(2),
    ),
    "indexed batches": lambda: (Batches(),),
    "batches in a list": lambda: (ListedBatches(),),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_model_gets_what_its_preprocessor_makes(form):
    raw, by_hand = raw_pair(), prepared_pair()
    kwargs = {"batch_size": 2} if len(FORMS[form]()) == 2 else {}
    logs = raw.fit(
        *FORMS[form](), epochs=2, shuffle=False, verbose=0, **kwargs
    ).history
    same_logs(logs, fit(by_hand, prepared(IMAGES, raw), LABELS))
    for ours, theirs in zip(
        copies(raw.student), copies(by_hand.student), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_validation_and_batches_are_preprocessed_too():
    raw, by_hand = raw_pair(), prepared_pair()
    ready = prepared(IMAGES, raw)
    same_logs(
        fit(raw, IMAGES, LABELS, validation_split=0.5),
        fit(
            by_hand,
            {role: x[:2] for role, x in ready.items()},
            LABELS[:2],
            validation_data=({r: x[2:] for r, x in ready.items()}, LABELS[2:]),
        ),
    )
    for method in ("train_on_batch", "test_on_batch"):
        same_logs(
            getattr(raw, method)(IMAGES, LABELS, return_dict=True),
            getattr(by_hand, method)(ready, LABELS, return_dict=True),
        )


def test_evaluate_and_predict_are_those_of_the_student():
    distiller = raw_pair()
    student = distiller.student
    student.compile(loss=distiller.loss)
    own = student.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    got = distiller.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert got["loss"] == pytest.approx(own["loss"], abs=1e-5)
    outputs = student.predict(IMAGES, verbose=0)
    for predict in (
        lambda x: distiller.predict(x, verbose=0),
        distiller.predict_on_batch,
    ):
        np.testing.assert_allclose(predict(IMAGES), outputs, atol=1e-5)


def test_a_cache_holds_raw_images_and_answers_to_prepared_ones(tmp_path):
    live, cached = raw_pair(), raw_pair()
    cache = keras_dts.cache_teacher(
        cached.teacher, (IMAGES, LABELS), tmp_path, batch_size=2, verbose=0
    )
    same_logs(fit(live, IMAGES, LABELS), fit(cached, cache))


def test_a_plain_model_takes_the_raw_images():
    distiller = distil(plain_model(), classifier())
    logs = distiller.train_on_batch(IMAGES, LABELS, return_dict=True)
    (temperatures,) = distiller.temperatures_of(IMAGES)
    assert np.isfinite(logs["distillation_loss"])
    assert temperatures.teacher == 4.0


def test_inputs_are_selected_before_they_are_preprocessed():
    def select(x):
        return x["image"]

    distiller = distil(
        classifier(seed=1),
        classifier(),
        teacher_inputs=select,
        student_inputs=select,
    )
    same_logs(
        fit(distiller, {"image": IMAGES}, LABELS),
        fit(distil(classifier(seed=1), classifier()), IMAGES, LABELS),
    )
    np.testing.assert_allclose(
        distiller.predict({"image": IMAGES}, verbose=0),
        distiller.student.predict(IMAGES, verbose=0),
        atol=1e-5,
    )


def test_an_iterator_of_images_is_refused():
    with pytest.raises(ValueError, match=r"can be read again.*generator"):
        raw_pair().fit(Batches()[i] for i in range(2))


def test_without_a_preprocessor_images_are_ready():
    distiller = distil(classifier(preprocess=False), plain_model())
    ready = IMAGES / 255
    np.testing.assert_allclose(
        distiller.predict(ready, verbose=0),
        distiller.student.predict(ready, verbose=0),
        atol=1e-5,
    )


class Segmenter(models.ImageSegmenter):
    """A convolution onto three classes a pixel."""

    def __init__(self, size, seed):
        inputs = keras.Input((size, size, 3))
        super().__init__(inputs, keras.layers.Conv2D(3, 1)(inputs))
        self.preprocessor = models.ImageSegmenterPreprocessor(
            converter(size), resize_output_mask=True
        )
        randomize(self, seed, 0.3)


def test_masks_of_segmenters_are_resized_as_the_student_does():
    distiller = distil(Segmenter(6, seed=1), Segmenter(6, seed=0))
    masks = IMAGES[..., :1] % 3
    own = Segmenter(6, seed=0)
    own.compile(loss=distiller.loss)
    losses = [
        model.evaluate(IMAGES, masks, verbose=0, return_dict=True)["loss"]
        for model in (distiller, own)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    logs = fit(distiller, IMAGES, masks, epochs=1)
    assert logs["distillation_loss"][0] > 0.0
