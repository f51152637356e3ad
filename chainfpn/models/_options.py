"""Options of the builders of detectors: their names and types, their defaults and rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

from chainfpn.errors import InvalidArgument
from chainfpn.models._record import COCO_CLASS_IDS, RESNETS
from chainfpn.models._types import AnchorSizes, LabelNames, Norm, Pretrained, Sides

if TYPE_CHECKING:
    from typing_extensions import Self

    from chainfpn.boxes import AnchorGenerator
    from chainfpn.links import Preprocess
    from chainfpn.models._rules import Rules


class DetectorArguments(TypedDict, total=False):
    """Options of every detector; what is left out or None is what the weights' ``__meta__`` says, else the default.

    Attributes:
        pretrained_backbone (str, os.PathLike): Weights of the trunk alone: ``'imagenet'`` or ``'imagenet_v2'`` for
            torchvision's of the classifier, or the path of a classifier's .npz or checkpoint.
        label_names (str, sequence of str): Names of the labels, or ``'coco'`` or ``'voc'``.
    """

    pretrained_backbone: Pretrained
    label_names: LabelNames


class ImageSettings(TypedDict, total=False):
    """Statistics of the input and its padding, by torchvision's names.

    Attributes:
        image_mean (sequence of float): Per channel, for pixels in 0..1; in 0..255 under the rules of detectron2 and
            mmdetection.
        image_std (sequence of float): The same.
        size_divisible (int): What the sides of a batch are a multiple of.
        channel_order (str): ``'RGB'`` or ``'BGR'``, what the network takes.
    """

    image_mean: Sequence[float]
    image_std: Sequence[float]
    size_divisible: int
    channel_order: str


class PyramidArguments(DetectorArguments, ImageSettings, total=False):
    """Options of the detectors on a trunk and a pyramid, see :class:`PyramidOptions`."""

    class_ids: Sequence[int]
    norm_eps: float
    min_size: Sides
    max_size: int
    anchor_sizes: AnchorSizes
    aspect_ratios: Sequence[float]
    stride_in_1x1: bool


class AnyResNetArguments(PyramidArguments, total=False):
    """Options of the detectors on any trunk, see :class:`PyramidOptions`."""

    stages: Sequence[int]
    fpn_channels: int
    norm: str | Norm | None
    rules: str


@dataclass(frozen=True)
class DetectorOptions:
    """Options of every detector.

    Attributes:
        name (str): The builder.
        n_fg_class (int or None): Labels, background excluded; None is COCO's 80 on torchvision's 91 class ids.
        class_ids (sequence of int or None): For each label the class id of the network.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        settings (mapping): Numbers of preprocessing, heads and training, by torchvision's names.
    """

    name: str
    n_fg_class: int | None = None
    class_ids: Sequence[int] | None = None
    label_names: LabelNames = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_class_id(self) -> int:
        """Class ids of the network, background included."""
        assert self.n_fg_class is not None
        return 1 + (self.n_fg_class if self.class_ids is None else max(self.class_ids))

    def with_labels(self) -> Self:
        """Return the same with COCO's labels where none are asked for."""
        if self.n_fg_class is not None:
            return self
        return replace(
            self, n_fg_class=len(COCO_CLASS_IDS), class_ids=COCO_CLASS_IDS, label_names=self.label_names or "coco"
        )

    def settings_of(self, prefix: str) -> dict[str, Any]:
        """Return the settings whose names begin so, without that beginning."""
        return {key.removeprefix(prefix): v for key, v in self.settings.items() if key.startswith(prefix)}

    @property
    def image_settings(self) -> dict[str, Any]:
        """The settings that are arguments of :class:`~chainfpn.links.Preprocess`."""
        return {
            key.removeprefix("image_"): v for key, v in self.settings.items() if key in ImageSettings.__optional_keys__
        }

    def head_settings(self, *prefixes: str) -> dict[str, Any]:
        """Return the settings that are of no image, and whose names begin otherwise."""
        image = ImageSettings.__optional_keys__
        return {key: v for key, v in self.settings.items() if key not in image and not key.startswith(prefixes)}

    def base(self, preprocess: Preprocess) -> dict[str, Any]:
        """Return the arguments of :class:`~chainfpn.links.Detector`."""
        return {
            "n_fg_class": self.n_fg_class,
            "class_ids": self.class_ids,
            "label_names": resolve_label_names(self.label_names),
            "preprocess": preprocess,
        }


@dataclass(frozen=True)
class PyramidOptions(DetectorOptions):
    """Options of the detectors on a trunk and a pyramid, and torchvision's values.

    Attributes:
        depth (int or str): 18, 34, 50, 101 or 152 of a ResNet, or the name of another classifier that has stages:
            a ResNeXt, wide ResNet, RegNet, EfficientNet, ConvNeXt or Swin Transformer.
        stages (sequence of int): Stages 1 to 4 of the trunk that the pyramid stands on, with strides of 4 to 32,
            ascending and without a gap. Those above the last are cut off.
        fpn_channels (int): Channels of every level.
        norm (str, callable or None): Normalization of the trunk, and of a second version's pyramid and heads:
            ``'frozen'`` or ``'batch'`` normalization, ``'group'`` normalization, or what makes a link for a number of
            channels; None is torchvision's choice.
        norm_eps (float or None): Epsilon of the normalization; None is the trunk's own. Some of torchvision's own
            weights want 0; ``__meta__`` says so.
        min_size (int or sequence of int): Length that the shorter side of an image is resized to. Of several, one is
            drawn for each image in training; otherwise it is the last.
        max_size (int): Limit of the longer side.
        anchor_sizes (sequence of sequences of float or None): Per level of the pyramid; None is torchvision's.
        aspect_ratios (sequence of float): Heights over widths.
        stride_in_1x1 (bool or None): Put the stride of a bottleneck into its first 1x1 convolution, as trunks from
            Caffe, detectron2 and ChainerCV want it; None is what the rules say.
        rules (str): Whose input, anchors, pooling, thresholds and masks go with the weights: ``'torchvision'``,
            ``'chainercv'``, ``'detectron2'``, ``'mmdetection'`` or ``'mmdetection_caffe'``.
    """

    depth: int | str = 50
    stages: Sequence[int] = (1, 2, 3, 4)
    fpn_channels: int = 256
    norm: str | Norm | None = None
    norm_eps: float | None = None
    min_size: Sides = 800
    max_size: int = 1333
    anchor_sizes: AnchorSizes = None
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0)
    stride_in_1x1: bool | None = None
    rules: str = "torchvision"

    def __post_init__(self) -> None:
        if self.trunk not in RESNETS and self.trunk not in _trunks():
            names = f"18, 34, 50, 101, 152 or one of {', '.join((*RESNETS, *_trunks()))}"
            raise InvalidArgument(self.name, "depth", names, self.depth)
        stages = tuple(self.stages)
        if not stages or stages != tuple(range(stages[0], stages[-1] + 1)) or not 1 <= stages[0] <= stages[-1] <= 4:
            raise InvalidArgument(self.name, "stages", "consecutive numbers in 1 to 4", stages)
        sides = tuple(self.min_size) if isinstance(self.min_size, Sequence) else (self.min_size,)
        if max(sides) > self.max_size:
            got = f"{self.min_size} and {self.max_size}"
            raise InvalidArgument(self.name, "min_size", "> 0 and <= max_size", self.min_size, got=got)
        self._check_anchors()

    @property
    def n_levels(self) -> int:
        """Levels of the pyramid, a coarser one by pooling among them."""
        return len(self.stages) + 1

    def _check_anchors(self) -> None:
        if self.anchor_sizes is not None and len(self.anchor_sizes) != self.n_levels:
            rule, n = f"have {self.n_levels} entries, one per level", len(self.anchor_sizes)
            raise InvalidArgument(self.name, "anchor_sizes", rule, self.anchor_sizes, got=str(n))

    @property
    def trunk(self) -> str:
        """Builder of the trunk."""
        return self.depth if isinstance(self.depth, str) else f"resnet{self.depth}"

    @property
    def rule_set(self) -> Rules:
        """The record that ``rules`` names."""
        from chainfpn.models._rules import RULES

        return RULES[self.rules]

    def by_rules(self, name: str, rules: Any) -> Any:
        """Return the option of a name, or if that is None what rules say, which have an attribute of that name."""
        value = getattr(self, name)
        return getattr(rules, name) if value is None else value

    def preprocess(self) -> Preprocess:
        """Return what brings images into a batch.

        Raises:
            InvalidArgument: if the rules have a fixed input, and another is asked for.
        """
        make = self.rule_set.preprocess
        for name in self.image_settings.keys() - inspect.signature(make).parameters:
            setting = name if name in self.settings else f"image_{name}"
            rule = f"left out under the rules {self.rules!r}, whose input is fixed"
            raise InvalidArgument(self.name, setting, rule, self.settings[setting])
        return make(self.min_size, self.max_size, **self.image_settings)

    def anchor_generator(
        self, sizes: Sequence[Sequence[float]], kind: Callable[..., AnchorGenerator] | None = None
    ) -> AnchorGenerator:
        """Return the anchor generator of the pyramid.

        Args:
            sizes (sequence of sequences of float): Per level, the sizes where ``anchor_sizes`` is None.
            kind (callable or None): What makes it for sizes and ratios; None is what the rules say.

        Returns:
            AnchorGenerator: Of as many levels as sizes.
        """
        make = kind or self.rule_set.anchors
        return make(sizes if self.anchor_sizes is None else self.anchor_sizes, self.aspect_ratios)


def _trunks() -> list[str]:
    """Return the classifiers, ResNets apart, that have stages."""
    from chainfpn.models.registry import MODELS

    return [name for name, model in MODELS.items() if model.stages]


def resolve_label_names(names: LabelNames) -> tuple[str, ...] | None:
    """Resolve the name of a data set to the names of its labels.

    Args:
        names (str, sequence of str or None): ``'coco'``, ``'imagenet'``, ``'voc'``, or the names themselves.

    Returns:
        tuple of str or None: The names.

    Raises:
        ValueError: if it is another word.
    """
    if names is None or not isinstance(names, str):
        return None if names is None else tuple(names)
    from chainercv.datasets import coco_bbox_label_names, voc_bbox_label_names

    from chainfpn.data import imagenet_label_names

    known: dict[str, Callable[[], Sequence[str]]] = {
        "coco": lambda: coco_bbox_label_names,
        "imagenet": imagenet_label_names,
        "voc": lambda: voc_bbox_label_names,
    }
    if names not in known:
        raise ValueError(f"label_names must be a sequence of str or one of {sorted(known)}, got {names!r}")
    return tuple(known[names]())
