"""Options of the builders of detectors of one stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from chainfpn.errors import InvalidArgument
from chainfpn.models._options import AnyResNetArguments, PyramidOptions

if TYPE_CHECKING:
    from typing_extensions import Self

    from chainfpn.models._rules import DenseRules


class DenseSettings(TypedDict, total=False):
    """Numbers of all detectors of one stage, by torchvision's names: see :class:`~chainfpn.links.DenseDetector`.

    Attributes:
        score_thresh (float): Lowest score of a detection.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class is suppressed.
        detections_per_img (int): Most detections per image.
        topk_candidates (int): Best-scored candidates of each level, of an SSD of each class, that enter NMS.
    """

    score_thresh: float
    nms_thresh: float
    detections_per_img: int
    topk_candidates: int


class AnyDenseArguments(AnyResNetArguments, DenseSettings, total=False):
    """What detectors of one stage on any trunk have in common, see :class:`DenseOptions`."""

    p6_from_trunk: bool
    p7_relu: bool


@dataclass(frozen=True)
class DenseOptions(PyramidOptions):
    """Options of the detectors of one stage.

    Attributes:
        p6_from_trunk (bool or None): Make the level P6 from the trunk's last map, not from the pyramid's; None is what
            the rules say.
        p7_relu (bool or None): Put a ReLU between the levels P6 and P7; likewise.
    """

    #: The attribute of a record of rules that is about this detector.
    family: ClassVar[str] = "retinanet"

    stages: Sequence[int] = (2, 3, 4)
    p6_from_trunk: bool | None = None
    p7_relu: bool | None = None

    @property
    def dense_rules(self) -> DenseRules:
        """What the record that ``rules`` names says of this detector.

        Raises:
            InvalidArgument: if it says nothing of it.
        """
        from chainfpn.models._rules import RULES

        records = {name: getattr(rules, self.family) for name, rules in RULES.items()}
        if records[self.rules] is None:
            known = ", ".join(name for name, record in records.items() if record is not None)
            raise InvalidArgument(self.name, "rules", f"one of {known}", self.rules)
        return records[self.rules]

    def with_labels(self) -> Self:
        """Return the same with COCO's labels where none are asked for, and without an output for the background."""
        labelled = super().with_labels()
        if self.class_ids is not None or self.dense_rules.background:
            return labelled
        assert labelled.n_fg_class is not None
        return replace(labelled, class_ids=range(labelled.n_fg_class))

    @property
    def image_settings(self) -> dict[str, Any]:
        """The settings that are arguments of the preprocess, and those of the rules."""
        return {**self.dense_rules.image, **super().image_settings}

    @property
    def detector_settings(self) -> dict[str, Any]:
        """The settings that are arguments of the detector, and those of the rules."""
        return {**self.dense_rules.settings, **self.head_settings()}

    @property
    def n_levels(self) -> int:
        """Levels of the pyramid, P6 and P7 among them."""
        return len(self.stages) + 2
