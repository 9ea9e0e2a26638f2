"""`RunReport`: its contents, its HTML, and when it is written."""

import html.parser
import importlib.metadata
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, crossentropy, mlp

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


def test_the_report_has_models_settings_and_logs(tmp_path):
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
    # The page needs no other file and runs no script.
    kinds = {tag for tag, _ in page.elements}
    assert not kinds & {"script", "link", "iframe"}
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    pictures = [a for tag, a in page.elements if tag in ("img", "source")]
    assert len(pictures) == 2
    for picture in pictures:
        source = picture.get("src") or picture["srcset"]
        assert source.startswith("data:image/png;base64,iVBOR")


def test_names_are_escaped(tmp_path):
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


def test_an_interrupted_training_has_a_report(tmp_path, monkeypatch):
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


def test_epochs_without_validation_have_empty_cells(tmp_path, monkeypatch):
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


class Undescribed(keras_dts.temperatures.Temperature):
    """A policy without a configuration."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def temperatures(self, pair):
        value = keras.ops.convert_to_tensor(self.value)
        return keras_dts.temperatures.Temperatures(value, value, value * value)

    def get_config(self):
        raise NotImplementedError


def test_objects_without_a_configuration_are_named(tmp_path):
    model = keras_dts.Distiller(
        mlp(16, seed=1), mlp(seed=2), temperature=Undescribed(2.0)
    )

    def my_loss(y, logits):
        return crossentropy().call(y, logits)

    optimizer = keras.optimizers.SGD(0.125)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, {"out": my_loss})
    fit(model, callbacks.RunReport(tmp_path / "report.html"))
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    found = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert found["temperature"] == "Undescribed"
    assert found["loss"] == "out: my_loss"
    expected = "SGD, learning rate 0.125, with a loss scale"
    assert found["optimizer"] == expected


def said(recwarn):
    """Returns what users were warned of."""
    return [str(w.message) for w in recwarn if w.category is UserWarning]


class Log(keras.callbacks.Callback):
    """Adds to the logs of each epoch, as a user's callback may."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.values)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        "3.5",
        b"1",
        None,
        {},
        np.ones(1),
        np.ones(3),
        pytest.param(10**400, id="10**400"),
    ],
)
def test_what_is_no_number_is_left_out(tmp_path, recwarn, value):
    path = tmp_path / "report.html"
    history = fit(distiller(), Log(note=value), callbacks.RunReport(path))
    message = "`RunReport` leaves out 'note' of the logs, which is no number."
    assert said(recwarn) == [message]
    page = Page(path.read_text("utf-8"))
    assert page.rows[-1][1:] == [
        f"{history[name][-1]:.5g}" for name in page.rows[-4][1:]
    ]
    assert "note" not in page.rows[-4]


def test_numbers_of_every_kind_are_numbers(tmp_path):
    path = tmp_path / "report.html"
    numbers = {
        "tensor": keras.ops.ones(()),
        "array": np.array(1),
        "scalar": np.float16(1),
        "whole": 1,
        "truth": True,
        "half \ud800 a letter": 1.0,
    }
    fit(
        distiller(),
        Log(**numbers),
        callbacks.RunReport(path, "half \udc00 a letter"),
    )
    text = path.read_text("utf-8")
    found = {row[0]: row[1] for row in Page(text).rows if len(row) == 2}
    for name in numbers:
        assert found[name.replace("\ud800", "\\ud800")] == "1"
    assert "<h1>half \\udc00 a letter</h1>" in text


def test_a_report_that_cannot_be_written_ends_no_training(
    tmp_path, monkeypatch, recwarn
):
    folder = tmp_path / "runs"

    class Remove(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            shutil.rmtree(folder, ignore_errors=True)

    monkeypatch.setattr(report_module, "_PATIENCE", 0.0)
    report = callbacks.RunReport(folder / "report.html")
    history = fit(distiller(), Remove(), report)
    (message,) = said(recwarn)
    expected = r"could not write .*report.html', and the training goes on: File"
    assert re.search(expected, message)
    assert len(history["loss"]) == 3
    assert not folder.exists()

    def full(path, text):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_module, "write_text", full)
    history = fit(distiller(), report)
    _, message = said(recwarn)
    assert "No space left on device" in message
    assert len(history["loss"]) == 3


def test_directories_and_missing_packages_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="`path` must be a file"):
        callbacks.RunReport(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"keras-dts\[plots\]"):
        fit(distiller(), callbacks.RunReport(tmp_path / "report.html"))


def test_the_report_in_a_browser(tmp_path):
    """Chromium shows the picture, and runs no script from a name."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "Chromium is missing; Debian's package is chromium"
    path = tmp_path / "report.html"
    evil = keras.metrics.SparseCategoricalAccuracy(name=EVIL)
    fit(distiller(metrics=[evil]), callbacks.RunReport(path, title=EVIL))
    # A script of the test writes what the browser made into the title.
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
    assert done.stdout.count("<script>") == 1, "the script of the test"


def test_csv_has_temperature_gap_and_agreement(tmp_path):
    path = tmp_path / "run.csv"
    model = distiller(distillation_metrics=[metrics.TeacherAgreement()])
    history = fit(model, keras.callbacks.CSVLogger(path))
    head, *rows = (line.split(",") for line in path.read_text().splitlines())
    assert {"temperature", "gap", "teacher_agreement"} < set(head)
    for name in ("temperature", "gap", "teacher_agreement"):
        column = [float(row[head.index(name)]) for row in rows]
        assert column == pytest.approx(history[name])
