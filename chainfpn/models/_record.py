"""What is known of a model, and of each weight file published for it: data only, without Chainer and NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from chainfpn._imagenet import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from chainfpn.models._options import DetectorOptions

URL = "https://download.pytorch.org/models/"

#: Mean and standard deviation of Caffe's input, which subtracts a mean colour from pixels in 0..255 and divides by
#: nothing, per channel, for pixels in 0..1.
CAFFE_MEAN, CAFFE_STD = (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)

#: Of the 91 class ids that torchvision's COCO detectors have, the 80 that COCO's categories use.
COCO_CLASS_IDS = tuple(i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

#: The classifiers of the ResNet family: depth, groups and width per group.
RESNETS = MappingProxyType(
    {
        **{f"resnet{depth}": (depth, 1, 64) for depth in (18, 34, 50, 101, 152)},
        "resnext50_32x4d": (50, 32, 4),
        "resnext101_32x8d": (101, 32, 8),
        "resnext101_64x4d": (101, 64, 4),
        "wide_resnet50_2": (50, 1, 128),
        "wide_resnet101_2": (101, 1, 128),
    }
)

#: torchvision's names of weights; the first file of all, from before they had names, is FIRST.
V1, V2, FIRST, COCO_V1, COCO_LEGACY = "IMAGENET1K_V1", "IMAGENET1K_V2", "FIRST", "COCO_V1", "COCO_LEGACY"

#: What ``pretrained_model`` calls torchvision's names of weights.
WORDS = MappingProxyType(
    {
        "IMAGENET1K_V1": "imagenet",
        "IMAGENET1K_V2": "imagenet_v2",
        "IMAGENET1K_FEATURES": "imagenet_features",
        "IMAGENET1K_SWAG_E2E_V1": "imagenet_swag",
        "IMAGENET1K_SWAG_LINEAR_V1": "imagenet_swag_linear",
        "COCO_V1": "coco",
        "COCO_LEGACY": "coco_legacy",
    }
)


class _Record:
    """What can be pickled, which a read-only mapping cannot."""

    def __reduce__(self):
        return _restore, (type(self), {k: dict(v) if isinstance(v, Mapping) else v for k, v in vars(self).items()})


def _restore(kind, values):
    return kind(**{k: MappingProxyType(v) if isinstance(v, dict) else v for k, v in values.items()})


@dataclass(frozen=True)
class WeightFile(_Record):
    """One published file.

    Attributes:
        file (str): Its name.
        figures (mapping): As published, in percent: ``top1`` on ImageNet's validation set; ``box``, ``mask`` and
            ``keypoint`` AP on COCO val2017.
        eps (float or None): Epsilon of the trunk's batch normalizations; None if it has none.
        label_names (str, tuple of str or None): The labels, or the name of their set: ``'imagenet'``, ``'coco'``.
        resize (int or None): The shorter side that a classifier's images are resized to.
        crop (int or None): Side of the square that a classifier then sees.
        mean (tuple of float): Of the input, per channel, for pixels in 0..1.
        std (tuple of float): The same.
        arguments (mapping): Builder arguments that the weights need.
        interpolation (str): How a classifier's images are resized: ``'bilinear'`` or ``'bicubic'``.
    """

    file: str
    figures: Mapping[str, float]
    eps: float | None = 1e-5
    label_names: str | tuple[str, ...] | None = None
    resize: int | None = None
    crop: int | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    interpolation: str = "bilinear"

    @property
    def url(self) -> str:
        """Address of the file."""
        return URL + self.file

    @property
    def sha256(self) -> str:
        """The first eight hexadecimal digits of the file's SHA-256."""
        return self.file.rpartition(".")[0].rpartition("-")[2]


@dataclass(frozen=True)
class Model(_Record):
    """One model.

    Attributes:
        name (str): The builder, and what ``__meta__`` of a weight file calls the model.
        family (str): ``'resnet'``, ``'faster_rcnn'``, ...
        module (str): Where the builder is.
        returns (tuple of str): What ``predict`` returns.
        weights (mapping): torchvision's name of published weights to the file.
        twin (str or None): The same model in torchvision.
        head (str or None): Where the last layer of a classifier is, in torch's names.
        stages (mapping): Where the maps of stride 4, 8, 16 and 32 end in a classifier that detectors can stand on, in
            torch's names, and their channels.
    """

    name: str
    family: str
    module: str
    returns: tuple[str, ...]
    weights: Mapping[str, WeightFile]
    twin: str | None
    head: str | None = None
    stages: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def builder(self) -> Callable[..., Any]:
        """The function that builds it."""
        return getattr(import_module(self.module), self.name)

    @property
    def options_class(self) -> Any:
        """The TypedDict that describes the builder's ``**options``; None where it has none."""
        name = self.builder.__annotations__.get("options", "").removeprefix("Unpack[").removesuffix("]")
        return getattr(import_module(self.module), name, None)

    @property
    def options(self) -> frozenset[str]:
        """Arguments of the builder: its own, and the keys of the TypedDict of its ``**options``."""
        more = getattr(self.options_class, "__optional_keys__", ())
        return frozenset({*self.builder.__annotations__, *more} - {"options", "return"})

    @property
    def default_options(self) -> DetectorOptions | None:
        """Every option's default; None of a classifier, whose link has them, and of kuangliu's pyramids."""
        return getattr(import_module(self.module), "DEFAULTS", {}).get(self.name)

    def check_options(self, options: Mapping[str, Any]) -> None:
        """Check options by the builder's own rules, without building and without Chainer.

        Args:
            options (mapping): Names, all of the builder's, to values.

        Raises:
            InvalidArgument: if one is out of its range.
        """
        from chainfpn._option_rules import check_option
        from chainfpn.models._build import choose_options

        if self.default_options is not None:
            choose_options(self.default_options, None, options)
        else:
            for name, value in options.items():
                check_option(self.name, name, value)

    @property
    def task(self) -> str:
        """``'classification'``, ``'features'`` or ``'detection'``."""
        return {"scores": "classification", "maps": "features"}.get(self.returns[0], "detection")


#: What ``predict`` of a detector returns, and what else some do.
BOXES = ("bboxes", "labels", "scores")
MASKS, KEYPOINTS = (*BOXES, "masks"), (*BOXES, "points", "point_scores")


def imagenet(
    file: str,
    top1: float | None = None,
    *,
    label_names: str | None = "imagenet",
    resize: int = 256,
    crop: int = 224,
    **fields: Any,
) -> WeightFile:
    """Return the record of a classifier's file; ``fields`` are more of :class:`WeightFile`."""
    figures = {} if top1 is None else {"top1": top1}
    return WeightFile(f"{file}.pth", figures, label_names=label_names, resize=resize, crop=crop, **fields)


def coco(
    file: str,
    *,
    eps: float | None = 1e-5,
    label_names: str | tuple[str, ...] = "coco",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    **figures: float,
) -> WeightFile:
    """Return the record of a detector's file, see :class:`WeightFile`; ``figures`` are AP in percent."""
    arguments = MappingProxyType({"norm_eps": eps} if eps == 0 else {})
    return WeightFile(f"{file}.pth", figures, eps, label_names, mean=mean, std=std, arguments=arguments)


def classifiers(
    family: str,
    module: str,
    weights: Mapping[str, Mapping[str, WeightFile]],
    *,
    head: str = "fc",
    stages: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[Model, ...]:
    """Return the records of torchvision's classifiers of a family, from their weights and their stages by name."""
    twin = "torchvision.models."
    return tuple(
        Model(name, family, module, ("scores",), files, twin + name, head, (stages or {}).get(name, {}))
        for name, files in weights.items()
    )


def detectors(
    family: str,
    module: str,
    weights: Mapping[str, Mapping[str, WeightFile]],
    returns: tuple[str, ...] = BOXES,
) -> tuple[Model, ...]:
    """Return the records of a family of detectors; torchvision has those that it publishes weights for."""
    twin = "torchvision.models.detection."
    return tuple(
        Model(name, family, module, returns, files, twin + name if files else None) for name, files in weights.items()
    )
