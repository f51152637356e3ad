"""Arrays by name: what is saved of a link, and whether two have the same."""

import chainer
import numpy as np


def saved(target):
    """Return all that a link, or whatever else can be serialized, saves by name; arrays on a CPU are its own."""
    serializer = chainer.serializers.DictionarySerializer()
    serializer.save(target)
    return serializer.target


def assert_same_arrays(found, expected):
    """Compare names, and the type, shape and values of each."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)
