"""Which algorithm convolves: measured once for a kind outside of training, or as the environment says."""

import json

import chainer
import numpy as np
import pytest

from chainfpn.errors import InvalidArgument
from chainfpn.functions.kernels import algorithm, import_compiled
from chainfpn.links import Convolution2D

winograd = import_compiled("winograd")


@pytest.fixture
def calls(monkeypatch):
    """The maps that Winograd's algorithm made."""
    made, original = [], winograd.forward
    monkeypatch.setattr(winograd, "forward", lambda *a: made.append(a[0].shape) or original(*a))
    monkeypatch.setattr(algorithm, "_measured", {})
    return made


def predict(size, *, channels=16, train=False, frozen=False):
    """Convolve a map of some size."""
    conv = Convolution2D(channels, 16, 3, pad=1)
    with chainer.using_config("train", train), chainer.using_config("enable_backprop", train and not frozen):
        return conv(np.ones((1, channels, size, size), np.float32)).array


def timed(monkeypatch, **seconds):
    """Let the algorithms take so long, after one run."""

    def measure(run):
        run()
        return seconds["winograd" if run.args[0] is winograd.forward else "direct"]

    monkeypatch.setattr(algorithm, "seconds", measure)


@pytest.mark.parametrize(("size", "by_rule"), [(40, True), (8, False)])
@pytest.mark.parametrize("faster", ["winograd", "direct"])
def test_the_faster_one_is_taken_from_then_on(size, by_rule, faster, calls, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", "measure")
    timed(monkeypatch, **{"winograd": 1.0, "direct": 1.0, faster: 0.5})
    predict(size)
    measured = len(calls)
    assert measured == 1 + (faster == "winograd")
    predict(size)
    assert len(calls) == measured + (faster == "winograd")
    assert list(algorithm._measured.values()) == [faster == "winograd"]


@pytest.mark.parametrize(("size", "by_rule"), [(40, True), (8, False)])
def test_the_rule_stands_where_the_other_is_hardly_faster(size, by_rule, calls, monkeypatch):
    monkeypatch.delenv("CHAINFPN_CONV", raising=False)
    timed(monkeypatch, **{"winograd": 1.1 if by_rule else 1.0, "direct": 1.0 if by_rule else 1.1})
    predict(size)
    assert list(algorithm._measured.values()) == [by_rule]


def test_only_some_rows_are_measured(calls, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", "measure")
    timed(monkeypatch, winograd=1.0, direct=1.0)
    predict(128)
    assert calls == [(1, 16, 18, 128), (1, 16, 128, 128)]
    predict(200)  # as large a map, so of the same kind
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("word", "size", "n"), [("winograd", 8, 1), ("direct", 40, 0), ("rules", 40, 1), ("rules", 8, 0)]
)
def test_the_environment_fixes_it(word, size, n, calls, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", word)
    monkeypatch.setattr(algorithm, "seconds", None)
    predict(size)
    assert len(calls) == n


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("word", ["direct", "measure"])
def test_training_goes_by_the_rule(word, frozen, calls, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", word)
    monkeypatch.setattr(algorithm, "seconds", None)
    predict(40, train=True, frozen=frozen)
    assert len(calls) == 1


def test_few_channels_are_not_measured(calls, monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", "measure")
    monkeypatch.setattr(algorithm, "seconds", None)
    predict(40, channels=3)
    assert not calls


@pytest.mark.parametrize(("n_in", "n_out"), [(16, 16), (40, 23)])
def test_both_algorithms_give_the_same(n_in, n_out, monkeypatch):
    results = []
    for word in ("winograd", "direct"):
        monkeypatch.setenv("CHAINFPN_CONV", word)
        conv = Convolution2D(n_in, n_out, 3, pad=1)
        conv.W.array[...] = np.random.default_rng(0).uniform(-1, 1, conv.W.shape)
        x = np.random.default_rng(1).uniform(-1, 1, (2, n_in, 30, 31)).astype(np.float32)
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            results.append(conv(x).array)
    np.testing.assert_allclose(*results, rtol=0, atol=3e-6 * np.abs(results[0]).max())


def test_another_word_is_refused(monkeypatch):
    monkeypatch.setenv("CHAINFPN_CONV", "fft")
    with pytest.raises(
        InvalidArgument,
        match=r"CHAINFPN_CONV must be one of measure, rules, winograd, direct, or a file \*\.json, got 'fft'",
    ):
        predict(40)


def test_what_was_measured_is_kept_in_a_file_if_asked(calls, monkeypatch, tmp_path):
    path = tmp_path / "choices.json"
    monkeypatch.setenv("CHAINFPN_CONV", str(path))
    path.write_text('{"another processor": {"16 16 6": false}}')
    timed(monkeypatch, winograd=0.5, direct=1.0)
    expected = predict(12)
    kept = json.loads(path.read_text())
    assert kept.pop("another processor") == {"16 16 6": False}
    assert list(kept.values()) == [{"16 16 4": True}]
    monkeypatch.setattr(algorithm, "seconds", None)  # measures no more
    monkeypatch.setattr(algorithm, "_measured", {})  # as in a new process
    assert len(calls) == 2
    np.testing.assert_array_equal(predict(12).shape, expected.shape)
    assert len(calls) == 3
    assert json.loads(path.read_text())["another processor"]


@pytest.mark.parametrize("content", ["no JSON", "[1]", '{"a processor": {"16 16 4": 1}}', '{"a processor": true}'])
def test_a_file_of_something_else_is_refused(content, calls, monkeypatch, tmp_path):
    (tmp_path / "choices.json").write_text(content)
    monkeypatch.setenv("CHAINFPN_CONV", str(tmp_path / "choices.json"))
    with pytest.raises(InvalidArgument, match=r"CHAINFPN_CONV must be a file of choices, or a new one, got '.*json'"):
        predict(12)
    assert (tmp_path / "choices.json").read_text() == content


def test_seconds_are_of_the_faster_run(monkeypatch):
    clock = iter([0.0, 3.0, 5.0, 6.0])
    monkeypatch.setattr("time.process_time", lambda: next(clock))
    assert algorithm.seconds(lambda: None) == 1.0
