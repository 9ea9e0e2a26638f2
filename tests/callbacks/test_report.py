"""What shows a training: the report, and histograms of temperatures."""

import html.parser
import importlib.metadata
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, crossentropy, mlp, randomize, tagger
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.util import tensor_util
from texts import LABELS, SENTENCES, bert

import keras_dts
from keras_dts import callbacks, losses, metrics, plots
from keras_dts.callbacks import report as report_module

X, Y = blobs()
EVIL = '"><img src=x onerror=alert(1)><script>alert(2)</script>'


def distiller(temperature=4.0, **kwargs):
    model = keras_dts.Distiller(
        mlp(16, seed=1, name="the_teacher"),
        mlp(seed=2, name="the_student"),
        losses.ReverseKL(),
        student_loss_weight=0.25,
        temperature=temperature,
    )
    model.compile(keras.optimizers.SGD(0.125), crossentropy(), **kwargs)
    return model


def fit(model, *given, **kwargs):
    options = {"epochs": 3, "verbose": 0, "batch_size": 16} | kwargs
    return model.fit(X, Y, callbacks=list(given), **options).history


class Page(html.parser.HTMLParser):
    """The elements of a page, and the cells of its tables."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.rows, self.texts = [], [], []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        self.texts.append(data)
        if self._in_cell:
            self.rows[-1][-1] += data


def test_the_report_says_what_was_trained_and_how_it_went(tmp_path):
    path = tmp_path / "new" / "report.html"
    model = distiller(keras_dts.DynamicTemperature(8.0, 2.0, 8.0))
    history = fit(model, callbacks.RunReport(path))
    text = path.read_text("utf-8")
    page = Page(text)
    found = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert found["teacher"] == "the_teacher, 195 parameters"
    assert found["student"] == "the_student, 75 parameters"
    assert found["temperature"].startswith("DynamicTemperature(initial=8.0")
    assert found["distillation losses"] == "ReverseKL()"
    assert found["weight of the labels"] == "0.25"
    assert found["optimizer"] == "SGD, learning rate 0.125"
    assert found["keras"] == keras.__version__
    assert found[BACKEND] == importlib.metadata.version(BACKEND)
    assert found["numpy"] == np.__version__
    assert found["gap"] == f"{history['gap'][-1]:.5g}"
    head = page.rows[-4]
    assert head[0] == "epoch"
    assert set(head[1:]) == set(history)
    for i, row in enumerate(page.rows[-3:]):
        assert row[0] == str(i + 1)
        assert row[1:] == [f"{history[name][i]:.5g}" for name in head[1:]]
    assert "<h1>distiller</h1>" in text
    assert "The training has ended. 3 of 3 epochs" in text
    # It needs no other file, and runs nothing.
    kinds = {tag for tag, _ in page.elements}
    assert not kinds & {"script", "link", "iframe"}
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    pictures = [a for tag, a in page.elements if tag in ("img", "source")]
    assert len(pictures) == 2
    for picture in pictures:
        source = picture.get("src") or picture["srcset"]
        assert source.startswith("data:image/png;base64,iVBOR")


def test_names_of_users_are_no_html(tmp_path):
    path = tmp_path / "report.html"
    evil = keras.metrics.SparseCategoricalAccuracy(name=EVIL)
    model = distiller(metrics=[evil])
    fit(model, callbacks.RunReport(path, title=EVIL))
    page = Page(path.read_text("utf-8"))
    kinds = [tag for tag, _ in page.elements]
    assert "script" not in kinds
    assert kinds.count("img") == 1
    assert any(row[0] == EVIL for row in page.rows if row)
    assert page.texts.count(EVIL) >= 2


def test_a_training_that_stops_leaves_a_report(tmp_path, monkeypatch):
    path = tmp_path / "report.html"

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(report_module, "_PATIENCE", 1e9)
    with pytest.raises(KeyboardInterrupt):
        fit(distiller(), callbacks.RunReport(path), Stop())
    text = path.read_text("utf-8")
    assert "The training was still running. 1 of 3 epochs" in text
    monkeypatch.setattr(report_module, "_PATIENCE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fit(distiller(), callbacks.RunReport(path), Stop())
    assert "2 of 3 epochs" in path.read_text("utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_plain_model_has_a_report_too(tmp_path):
    model = mlp(name="plain")
    schedule = keras.optimizers.schedules.CosineDecay(0.5, 10)
    model.compile(keras.optimizers.SGD(schedule), crossentropy())
    fit(model, callbacks.RunReport(tmp_path / "report.html"))
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    found = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert found["model"] == "plain, 75 parameters"
    assert found["optimizer"].startswith(
        "SGD, learning rate CosineDecay(initial_learning_rate=0.5, decay_steps"
    )


def test_epochs_without_a_validation_are_empty(tmp_path, monkeypatch):
    drawn = []
    draw = plots.plot_run
    monkeypatch.setattr(plots, "plot_run", lambda h: drawn.append(h) or draw(h))
    history = fit(
        distiller(),
        callbacks.RunReport(tmp_path / "report.html"),
        epochs=4,
        validation_data=(X, Y),
        validation_freq=2,
    )
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    head, *rows = page.rows[-5:]
    found = [row[head.index("val_loss")] for row in rows]
    assert found[::2] == ["", ""]
    assert found[1::2] == [f"{v:.5g}" for v in history["val_loss"]]
    losses_panel = draw(drawn[-1])[2]
    (line,) = (
        line
        for line in losses_panel.get_lines()
        if line.get_label() == "validation"
    )
    assert list(line.get_xdata()) == [2, 4]
    assert list(line.get_ydata()) == history["val_loss"]


class Unsaid(keras_dts.temperatures.Temperature):
    """A policy that does not tell its configuration."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def temperatures(self, pair):
        value = keras.ops.convert_to_tensor(self.value)
        return keras_dts.temperatures.Temperatures(value, value, value * value)

    def get_config(self):
        raise NotImplementedError


def test_what_cannot_be_described_is_named(tmp_path):
    model = keras_dts.Distiller(
        mlp(16, seed=1), mlp(seed=2), temperature=Unsaid(2.0)
    )

    def my_loss(y, logits):
        return crossentropy().call(y, logits)

    optimizer = keras.optimizers.SGD(0.125)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, {"out": my_loss})
    fit(model, callbacks.RunReport(tmp_path / "report.html"))
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    found = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert found["temperature"] == "Unsaid"
    assert found["loss"] == "out: my_loss"
    expected = "SGD, learning rate 0.125, with a loss scale"
    assert found["optimizer"] == expected


def test_errors_of_the_report(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`path` must be a file"):
        callbacks.RunReport(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-dts\[plots\]"):
        fit(distiller(), callbacks.RunReport(tmp_path / "report.html"))


def test_the_report_in_a_browser(tmp_path):
    """Chromium shows the picture, and runs nothing that a name brought."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "Chromium is missing; Debian's package is chromium"
    path = tmp_path / "report.html"
    evil = keras.metrics.SparseCategoricalAccuracy(name=EVIL)
    fit(distiller(metrics=[evil]), callbacks.RunReport(path, title=EVIL))
    # What the browser made of the page is told by a script of the test.
    probe = (
        "<script>addEventListener('load', () => document.title = 'width '"
        " + document.querySelector('img').naturalWidth + ' images '"
        " + document.images.length + ' tables '"
        " + document.querySelectorAll('table').length)</script></body>"
    )
    text = path.read_text("utf-8").replace("</body>", probe)
    text = re.sub("<meta http-equiv[^>]*>", "", text)  # it forbids scripts
    path.write_text(text, encoding="utf-8")
    command = [
        browser,
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-background-networking", "--dump-dom"),
        f"--user-data-dir={tmp_path / 'profile'}",
        path.as_uri(),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120
    )
    title = re.search("<title>(.*?)</title>", done.stdout)[1]
    assert re.fullmatch("width [1-9][0-9]{2,} images 1 tables 4", title)
    headings = re.findall("<h2>(.*?)</h2>", done.stdout)
    assert headings == ["Last epoch", "Picture", "Set-up", "Versions", "Epochs"]
    assert done.stdout.count("<script>") == 1, "that of the test"


def test_csv_has_temperature_gap_and_agreement(tmp_path):
    path = tmp_path / "run.csv"
    model = distiller(distillation_metrics=[metrics.TeacherAgreement()])
    history = fit(model, keras.callbacks.CSVLogger(path))
    head, *rows = (line.split(",") for line in path.read_text().splitlines())
    assert {"temperature", "gap", "teacher_agreement"} < set(head)
    for name in ("temperature", "gap", "teacher_agreement"):
        column = [float(row[head.index(name)]) for row in rows]
        assert column == pytest.approx(history[name])


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [
            tensor_util.make_ndarray(event.tensor_proto)
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def check_histogram(found, expected):
    """Checks buckets, each `(from, to, how many)`, against values."""
    assert found[:, 2].sum() == len(expected)
    assert found[0, 0] == pytest.approx(expected.min(), rel=1e-4)
    assert found[-1, 1] == pytest.approx(expected.max(), rel=1e-4)
    edges = np.append(found[:, 0], found[-1, 1])
    edges[[0, -1]] += [-1e-4, 1e-4]
    counts, _ = np.histogram(expected, edges)
    # Rounding may put a value on the other side of an edge.
    assert np.abs(counts - found[:, 2]).sum() <= 2


def standardized(logits):
    """The temperature of LSKD with base 2."""
    return 2.0 * np.std(logits, axis=-1, ddof=1)


def test_histograms_are_those_of_the_policy(tmp_path):
    model = distiller(keras_dts.temperatures.LogitStandardization(2.0))
    fit(model, callbacks.TemperatureHistogram(tmp_path, X, Y), epochs=2)
    found = read(tmp_path)
    assert set(found) == {"temperature/teacher", "temperature/student"}
    for role in ("teacher", "student"):
        first, last = found[f"temperature/{role}"]
        logits = getattr(model, role).predict(X, verbose=0)
        check_histogram(last, standardized(logits))
        same = np.allclose(first, last)
        assert same == (role == "teacher"), "the student has learned"


def test_one_temperature_for_all_is_a_number(tmp_path):
    fit(distiller(3.0), callbacks.TemperatureHistogram(tmp_path, X), epochs=2)
    found = read(tmp_path)
    for values in found.values():
        np.testing.assert_allclose(np.ravel(values), [3.0, 3.0])


def test_tokens_that_do_not_count_are_in_no_histogram(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(1, 11, (6, 5)).astype("int32")
    x[:3, 3:] = 0
    y = rng.integers(0, 5, (6, 5)).astype("int32")
    y[:, 1] = -1
    model = keras_dts.Distiller(
        tagger(8, seed=1),
        tagger(4, seed=2),
        temperature=keras_dts.temperatures.LogitStandardization(2.0),
    )
    model.compile("sgd", crossentropy(ignore_class=-1))
    histogram = callbacks.TemperatureHistogram(tmp_path, x, y)
    model.fit(x, y, callbacks=[histogram], verbose=0)
    counts = (x != 0) & (y != -1)
    for role in ("teacher", "student"):
        (found,) = read(tmp_path)[f"temperature/{role}"]
        logits = getattr(model, role).predict(x, verbose=0)
        check_histogram(found, standardized(logits)[counts])


def two_heads(width, seed):
    inputs = keras.Input((8,))
    x = keras.layers.Dense(width)(inputs)
    outputs = [keras.layers.Dense(3, name=name)(x) for name in ("a", "b")]
    return randomize(keras.Model(inputs, outputs), seed)


def test_outputs_have_histograms_of_their_own(tmp_path):
    policy = keras_dts.temperatures.LogitStandardization(2.0)
    model = keras_dts.Distiller(
        two_heads(8, seed=1),
        two_heads(4, seed=2),
        [[losses.KD(), losses.KD()]],
        temperature=policy,
    )
    model.compile("sgd", [crossentropy(), crossentropy()])
    histogram = callbacks.TemperatureHistogram(tmp_path, X)
    model.fit(X, [Y, Y], callbacks=[histogram], verbose=0)
    found = read(tmp_path)
    for role in ("teacher", "student"):
        answers = getattr(model, role).predict(X, verbose=0)
        for name, logits in zip(("a", "b"), answers, strict=True):
            (last,) = found[f"temperature/{role}/{name}"]
            check_histogram(last, standardized(logits))


def test_raw_strings_have_temperatures():
    model = keras_dts.Distiller(
        bert(16, seed=1),
        bert(),
        temperature=keras_dts.temperatures.LogitStandardization(2.0),
    )
    (found,) = model.temperatures_of(SENTENCES, LABELS)
    for role in ("teacher", "student"):
        logits = getattr(model, role).predict(SENTENCES)
        np.testing.assert_allclose(
            getattr(found, role), standardized(logits), rtol=1e-4
        )


def test_asking_for_temperatures_changes_nothing():
    model = distiller(keras_dts.DynamicTemperature(8.0, 2.0, 8.0))
    fit(model, epochs=1)
    before = [np.array(v) for v in model.get_weights()]
    answers = [model.temperatures_of(X, Y)[0] for _ in range(2)]
    now = float(keras.ops.convert_to_numpy(model.temperature.temperature))
    for answer in answers:
        assert answer.teacher == answer.student == pytest.approx(now)
        assert answer.scale == pytest.approx(now**2)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_histograms_need_a_distiller_and_its_temperature(tmp_path):
    model = mlp()
    model.compile("sgd", crossentropy())
    histogram = callbacks.TemperatureHistogram(tmp_path, X)
    with pytest.raises(ValueError, match="shows the temperatures of a"):
        fit(model, histogram)
    model = keras_dts.Distiller(mlp(16, seed=1), mlp(seed=2), losses.KD(2.0))
    model.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match="none of the `distillation_losses`"):
        fit(model, histogram)
