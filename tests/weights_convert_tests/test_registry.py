"""For every model of the registry: what is recognized in its weights builds the same names and shapes again."""

import chainer
import numpy as np
import pytest

import weights_convert
from chainfpn.models import MODELS
from reference.classifier_cases import LARGER
from weights_convert import known_models, matching, param_names
from weights_convert.read import tensor
from weights_convert.read.contents import Contents
from weights_convert.read.source import Source
from weights_convert_tests.repeated import described

pytestmark = pytest.mark.slow  # whole networks, all of them together

UNUSUAL = {"depth": 34, "stages": [2, 3], "fpn_channels": 64}


def cases():
    for name in MODELS:
        known = known_models.builder_arguments(name)
        yield name, {}
        yield name, {key: value for key, value in (("n_class", 7), ("n_fg_class", 5)) if key in known}
        if "n_class" in known:
            yield name, {"n_class": 0}
        if MODELS[name].family == "resnet":
            yield name, {"n_class": 0, "n_stages": 2}
            yield name, {"n_class": 3, "norm": "group"}
        if name == "resnet_fpn_backbone":
            for extra in ("pool", "p6p7"):
                yield name, UNUSUAL | {"extra_levels": extra}
            yield name, {"depth": 34, "extra_levels": "p6p7", "p6_from_trunk": True}
            yield name, {"depth": 18, "fpn_norm": True, "stages": [1, 2, 3]}
            yield name, {"depth": "regnet_y_400mf", "fpn_norm": True}
            yield name, {"depth": "convnext_tiny", "stages": [1, 2, 3]}
            yield name, {"depth": "swin_v2_t", "extra_levels": "p6p7"}
        elif "stages" in known:
            yield name, UNUSUAL | {"n_fg_class": 3} | ({"head_channels": 48} if "head_channels" in known else {})
            yield name, {"depth": "resnext50_32x4d", "n_fg_class": 1, "norm": "group"}
            yield name, {"depth": "efficientnet_b0", "n_fg_class": 1, "stages": [2, 3]}
        if "mask_layers" in known:
            yield name, {"n_fg_class": 2, "mask_layers": [32, 64, 16], "mask_dim_reduced": 48}
        if "keypoint_layers" in known:
            yield name, {"n_fg_class": 2, "keypoint_layers": [32, 64, 16], "n_keypoint": 5}
        if "reduced_tail" in known:
            yield name, {"reduced_tail": False}
        if "anchor_sizes" in known and "stages" in known and not name.startswith("fcos"):
            levels = MODELS[name].default_options.n_levels
            yield name, {"n_fg_class": 1, "anchor_sizes": [[16, 32]] * levels}


@pytest.fixture
def no_values(monkeypatch):
    """Make arrays without drawing their values, which no one looks at here."""
    zeros = lambda initializer, shape, xp, dtype=None, device=None: np.zeros(shape, dtype or np.float32)  # noqa: E731
    monkeypatch.setattr(chainer.initializers, "generate_array", zeros)


def without_counters(shapes):
    return {name: shape for name, shape in shapes.items() if not name.endswith(("/N", "/num_batches_tracked"))}


@pytest.fixture
def convert(tmp_path, monkeypatch):
    """Return a function that converts a checkpoint of these shapes, of which each tensor repeats one zero."""
    path = tmp_path / "net.pth"
    path.write_bytes(b"0")
    monkeypatch.setattr(tensor, "MAX_REPEATED", 1 << 40)

    def convert(shapes, **meta):
        tree = described(shapes)
        monkeypatch.setattr(matching, "open_checkpoint", lambda path: Contents(Source(path), "torch zip", tree))
        return weights_convert.convert_arrays(path, meta=meta)

    return convert


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=[pytest.mark.exhaustive] if case[0] in LARGER else [])
        for case in cases()
    ],
)
def test_a_converted_file_has_the_names_and_shapes_of_the_model_its_meta_builds(name, arguments, no_values, convert):
    built = without_counters(known_models.build(name, arguments))
    told = {key: value for key, value in arguments.items() if key == "anchor_sizes"}
    arrays, meta, report = convert({param_names.to_torch(key): shape for key, shape in built.items()}, **told)
    assert {key: array.shape for key, array in arrays.items()} == built
    assert without_counters(known_models.build(meta["model"], meta["arguments"])) == built
    assert MODELS[meta["model"]].family == MODELS[name].family
    assert report.dropped == {}
