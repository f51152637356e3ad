"""For every model of the registry: what is recognized in its weights builds the same names and shapes again."""

import chainer
import numpy as np
import pytest

from chainfpn.models import MODELS
from weights_convert import known_models, param_names
from weights_convert.architectures import recognize
from weights_convert.arguments import check_arguments

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
        elif "stages" in known:
            yield name, UNUSUAL | {"n_fg_class": 3} | ({"head_channels": 48} if "head_channels" in known else {})
            yield name, {"depth": "resnext50_32x4d", "n_fg_class": 1, "norm": "group"}
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


@pytest.mark.parametrize(("name", "arguments"), [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in cases()])
def test_what_is_recognized_builds_the_same_again(name, arguments, no_values):
    built = without_counters(known_models.build(name, arguments))
    found = recognize({param_names.to_torch(key): shape for key, shape in built.items()})
    assert found.compare({param_names.to_torch(key): shape for key, shape in built.items()}) == ([], [], {})
    told = found.arguments | {key: arguments[key] for key in ("anchor_sizes",) if key in arguments}
    if found.arguments.get("n_fg_class") == 0:  # a RetinaNet or FCOS of one class id, whose label it is
        told |= {"n_fg_class": 1, "class_ids": [0]}
    else:
        check_arguments(found.builder, told, found.arguments, found.shapes)
    assert without_counters(known_models.build(found.builder, told)) == built
