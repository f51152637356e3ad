"""Layers numbered as torch numbers them: names, positions, picking, copies."""

import io
import pickle

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np
import pytest
from chainer import serializers

from chainfpn.links import IndexedSequential


@pytest.fixture
def layers():
    """Four linear layers with three functions among them."""
    return IndexedSequential(L.Linear(2, 3), F.relu, L.Linear(3, 4), L.Linear(4, 5), F.relu, L.Linear(5, 6), F.softmax)


def test_functions_count_in_the_names(layers):
    names = {name: param.shape for name, param in layers.namedparams() if name.endswith("W")}
    assert names == {"/0/W": (3, 2), "/2/W": (4, 3), "/3/W": (5, 4), "/5/W": (6, 5)}


def test_what_is_saved_loads_into_the_same_layers(layers):
    file = io.BytesIO()
    serializers.save_npz(file, layers)
    other = IndexedSequential(*(layer.copy("init") if isinstance(layer, chainer.Link) else layer for layer in layers))
    file.seek(0)
    serializers.load_npz(file, other)
    x = np.ones((1, 2), dtype=np.float32)
    np.testing.assert_array_equal(layers(x).array, other(x).array)


def test_positions_and_names(layers):
    assert len(layers) == 7
    assert layers[2] is layers["2"] is list(layers)[2]
    assert layers[-2] is layers["5"]
    assert layers[1] is F.relu
    with pytest.raises(IndexError):
        layers[7]
    with pytest.raises(AttributeError):
        layers["7"]


def test_layers_can_be_picked_and_the_rest_removed(layers):
    x = np.ones((1, 2), dtype=np.float32)
    layers.pick = ("3", "0")
    h3, h0 = layers(x)
    np.testing.assert_array_equal(h0.array, layers[0](x).array)
    assert h3.shape == (1, 5)
    layers.remove_unused()
    assert len(layers) == 4
    assert not any(name.startswith("/5") for name, _ in layers.namedparams())


def test_a_pickled_one_computes_the_same(layers):
    x = np.ones((1, 2), dtype=np.float32)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layers))(x).array, layers(x).array)
