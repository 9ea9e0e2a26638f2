"""Settings of losses are found wherever Keras keeps them."""

import keras

from keras_dts.logits.families import reads_classes, reads_logits
from keras_dts.utils import loss_setting


class Configured(keras.losses.Loss):
    """A loss whose settings are in its configuration alone."""

    def call(self, y_true, y_pred):
        return keras.ops.sum(y_pred - y_true, axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "from_logits": True,
            "ignore_class": 255,
        }


def test_settings_come_from_the_configuration():
    loss = Configured()
    assert not hasattr(loss, "ignore_class")
    assert loss_setting(loss, "ignore_class") == 255
    assert reads_logits(loss) is True


def test_settings_of_keras_are_found():
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1
    )
    assert loss_setting(loss, "ignore_class") == -1
    assert loss_setting(loss, "from_logits") is True
    assert loss_setting(keras.losses.Dice(axis=(1,)), "axis") == (1,)


def test_what_has_no_settings_has_defaults():
    for thing in (None, "mse", keras.losses.mean_squared_error):
        assert loss_setting(thing, "axis", -1) == -1
    assert loss_setting(Configured(), "axis", -1) == -1
    assert reads_logits(keras.losses.mean_squared_error) is None


def test_the_focal_loss_of_indices_reads_classes():
    def sparse_categorical_focal_crossentropy(y_true, y_pred):
        return y_pred

    assert reads_classes(sparse_categorical_focal_crossentropy) is True
