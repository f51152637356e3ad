"""Classifiers that are no ResNets under the pyramid: torchvision's maps, their weights, and what they refuse."""

import os
import sys

import chainer
import numpy as np
import pytest

from chainfpn import errors, models, save_weights
from chainfpn.links import FrozenBatchNormalization, GroupNormalization
from chainfpn.models.efficientnet import ARCHITECTURES
from reference.arrays import saved
from reference.classifier_answers import BUILDERS, difference, marked, without_initial_values
from reference.classifier_cases import FAMILIES, GAINS, ONE_STANDS_FOR_ALL
from reference.seeded_weights import fill_link, seeded_input

#: Builders with stages; the smallest of a family stands for the others.
TRUNKS = marked(
    [name for family in ONE_STANDS_FOR_ALL for name in FAMILIES[family][2]], {"efficientnet_v2_s", "regnet_y_400mf"}
)
SMALLEST = "efficientnet_b0"

#: torchvision's maps of the stages, and its pyramid on them.
CODE = """
    import re
    import sys
    sys.path.insert(0, str(folder))
    from classifier_cases import GAINS
    from seeded_weights import fill_module, seeded_input, skip_initial_values
    from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
    skip_initial_values()
    model = getattr(torchvision.models, str(inputs["builder"]))(num_classes=1).eval()
    seen = []
    for name in inputs["names"]:
        model.get_submodule(str(name)).register_forward_hook(lambda module, args, out: seen.append(out))
    gains = GAINS.get(str(inputs["family"]), ())
    fill_module(getattr(model, "features", model), gains=gains)
    fpn = FeaturePyramidNetwork(inputs["channels"].tolist(), 8, LastLevelMaxPool()).eval()
    fill_module(fpn, {name: re.sub(r"\\.0(\\.\\w+)$", r"\\1", name) for name in fpn.state_dict()})
    with torch.no_grad():
        model.double()(torch.from_numpy(seeded_input(2, 3, 65, 79)).double())
        if "swin" in str(inputs["builder"]):
            seen = [h.permute(0, 3, 1, 2) for h in seen]
        for i, h in enumerate(fpn.double()({str(i): h for i, h in enumerate(seen)}).values()):
            outputs[str(i)] = h
"""


def build(name, **options):
    """Build a pyramid on a trunk without the time that initial values take."""
    with without_initial_values():
        return models.resnet_fpn_backbone(name, fpn_channels=8, **options)


@pytest.mark.parametrize("name", TRUNKS)
def test_levels_are_torchvisions(torchvision_live, name):
    reference = os.path.dirname(sys.modules["reference.seeded_weights"].__file__)
    stages = models.MODELS[name].stages
    arrays = {"names": np.array(list(stages)), "channels": np.array(list(stages.values()))}
    answers = torchvision_live.run(CODE, folder=reference, builder=name, family=BUILDERS[name], **arrays)
    with chainer.using_config("dtype", np.dtype("float64")), chainer.using_config("train", False):
        link = build(name)
        fill_link(link.body, GAINS.get(BUILDERS[name], ()))
        fill_link(link.fpn)
        with chainer.no_backprop_mode():
            levels = link(seeded_input(2, 3, 65, 79).astype("d"))
    assert len(levels) == len(answers) == 5
    for i, level in enumerate(levels):
        assert difference(level.array, answers[str(i)]) <= 1e-10


def test_a_pyramid_has_the_norm_that_a_trunk_with_layer_normalization_has_no_use_for():
    link = build("swin_t", stages=(1, 2), norm=lambda n: GroupNormalization(n, groups=4), fpn_norm=True)
    kinds = {name.split("/")[1] for name, child in link.namedlinks() if isinstance(child, GroupNormalization)}
    assert kinds == {"fpn"}


def test_cut_stages_have_no_weights():
    whole, cut = ({name for name, _ in build(SMALLEST, stages=s).body.namedparams()} for s in ((1, 2, 3, 4), (2, 3)))
    assert {name.split("/")[1] for name in cut} == set("012345")
    assert {name.split("/")[1] for name in whole} == set("01234567")
    assert build(SMALLEST, stages=(2, 3)).fpn.in_channels == [40, 112]


def test_a_detector_stands_on_it_and_comes_back(tmp_path):
    options = {"fpn_channels": 16, "head_channels": 16, "min_size": 64}
    with without_initial_values():
        detector = models.fasterrcnn_resnet_fpn(SMALLEST, 2, **options)
    fill_link(detector)
    save_weights(tmp_path / "detector.npz", detector)
    loaded = models.load(tmp_path / "detector.npz")
    assert loaded.meta["arguments"] == {"depth": SMALLEST, "n_fg_class": 2, **options}
    x = seeded_input(1, 3, 64, 96)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        for level, expected in zip(loaded.backbone(x), detector.backbone(x), strict=True):
            np.testing.assert_array_equal(level.array, expected.array)
    assert {type(link) for link in loaded.backbone.body.links() if hasattr(link, "avg_mean")} == {
        FrozenBatchNormalization
    }


def arrays_of(link):
    """Return all that a link saves by name, counters apart."""
    return {name: value for name, value in saved(link).items() if not name.endswith("N")}


@pytest.mark.parametrize("name", [SMALLEST, "regnet_x_400mf", "convnext_tiny", "swin_t"])
@pytest.mark.parametrize("stages", [(1, 2, 3, 4), (1, 2)])
def test_a_classifiers_weights_go_into_the_trunk(name, stages, tmp_path):
    with without_initial_values():
        classifier = models.get_model(name, 3)
    fill_link(classifier)
    save_weights(tmp_path / "classifier.npz", classifier)
    body = build(name, stages=stages, pretrained_backbone=tmp_path / "classifier.npz").body
    expected = arrays_of(getattr(classifier, "features", classifier))
    found = arrays_of(body)
    assert len(found) > 20
    for key, array in found.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


def test_epsilon_is_the_networks_own():
    for name, architecture in ARCHITECTURES.items():
        assert {file.eps for file in models.MODELS[name].weights.values()} == {architecture.eps}
    for name, eps in (("efficientnet_b0", 1e-5), ("efficientnet_v2_s", 1e-3)):
        assert {link.eps for link in build(name, stages=(1,)).links() if hasattr(link, "avg_mean")} == {eps}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": "vgg16"}, "depth must be 18, 34, 50, 101, 152 or one of .*efficientnet_b0, .*, got 'vgg16'"),
        ({"depth": SMALLEST, "stride_in_1x1": True}, "stride_in_1x1 must be False with efficientnet_b0, got True"),
        ({"depth": "convnext_tiny", "norm": "group"}, "norm must be None with convnext_tiny, which has no batch norm"),
    ],
)
def test_what_a_trunk_has_not_is_refused(options, sentence):
    with pytest.raises(errors.InvalidArgument, match=sentence):
        models.resnet_fpn_backbone(**options)
