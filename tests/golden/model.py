"""A detector of detectron2 or mmdetection: its constants, its weights, and what it finds in photographs."""

import functools
import json
import pathlib
import pickle

import numpy as np
from chainercv.utils import read_image

from golden.seeded import draw
from reference.shared_data import SHARED_DATA

#: Models and photographs of the repository, and those of full size.
HERE, FULL = pathlib.Path(__file__).parent, SHARED_DATA.parent / "golden"


def names(*, full=False):
    """List the models there are answers of.

    Args:
        full (bool): Those of full size instead of the small ones; none where their folder is absent.

    Returns:
        list of str: ``framework/model`` each.
    """
    found = (FULL if full else HERE).glob("*/*/golden.npz")
    paths = sorted(path.parent for path in found if full != path.parent.name.startswith("small_"))
    return [f"{path.parent.name}/{path.name}" for path in paths]


class GoldenModel:
    """A model of another framework, as its files describe it.

    Args:
        name (str): ``framework/model``, as :func:`names` lists it.

    Attributes:
        name, framework (str): Its name, and the part before the slash.
        config (dict): Every constant.
        facts (dict): For each photograph sizes, statistics and counts.
        photos (list of str): Names of the photographs.
    """

    def __init__(self, name):
        self.name, self.framework = name, name.partition("/")[0]
        self.is_small = "/small_" in name
        self.folder = (HERE if self.is_small else FULL) / name
        self.config, self.facts = self._read("config"), self._read("golden")
        self.photos = list(self.facts)

    def _read(self, name):
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    @functools.cached_property
    def _arrays(self):
        with np.load(self.folder / "golden.npz") as file:
            return dict(file)

    def arrays(self, photo):
        """Return the answers for a photograph: ``{name: array}``, see README.md."""
        return {key.removeprefix(f"{photo}/"): a for key, a in self._arrays.items() if key.startswith(f"{photo}/")}

    def image(self, photo):
        """Return a photograph: float32, (3, H, W), RGB, 0..255."""
        folder = HERE / "photos" if self.is_small else SHARED_DATA / "photos"
        return read_image(str(folder / self.facts[photo]["photo"]))

    def weights(self):
        """Draw the weights: ``{name: array}`` in the order of the names."""
        entries = self._read("names_shapes")
        return {name: draw(name, entries[name]) for name in sorted(entries)}

    def write(self, folder):
        """Write the weights as the framework does, but for torch's tensors, which are arrays here.

        Args:
            folder (pathlib.Path): Where to.

        Returns:
            pathlib.Path: The checkpoint.
        """
        path = folder / f"{self.name.replace('/', '-')}.pkl"
        contents = {
            "detectron2": lambda arrays: {"model": arrays, "__author__": "seeded"},
            "mmdetection": lambda arrays: {"meta": {}, "state_dict": arrays},
        }[self.framework](self.weights())
        with path.open("wb") as file:
            pickle.dump(contents, file, protocol=2)
        return path

    @property
    def options(self):
        """dict: What stands in its configuration and in no checkpoint, as options of the builders."""
        given = self.config["input"]
        if self.framework == "mmdetection":
            (resize,) = (step for step in given["test_pipeline"] if step["type"] == "Resize")
            return {"min_size": min(resize["scale"]), "max_size": max(resize["scale"])}
        trunk = self.config["resnet"]
        found = {
            "min_size": given["min_size"],
            "max_size": given["max_size"],
            "image_mean": given["pixel_mean"],
            "image_std": given["pixel_std"],
            "channel_order": given["channel_order"],
            "stride_in_1x1": trunk["stride_in_1x1"] and trunk["depth"] >= 50,
        }
        n_detections = "detections_per_img" if "retinanet" in self.config else "box_detections_per_img"
        return {**found, n_detections: self.config["detections_per_image"]}

    @property
    def rules(self):
        """str: Whose rules it follows: the name of our record."""
        is_caffe = self.config.get("backbone", {}).get("style") == "caffe"
        return f"{self.framework}_caffe" if is_caffe else self.framework
