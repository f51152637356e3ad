"""The losses that a training makes small, with the options of the command line."""

from typing import Any

from chainfpn.cli.errors import CommandError
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.links import Detector
from chainfpn.training import TrainChain
from weights_convert import parse_key_values

#: How torchvision's name of an option begins, and the part of the detector that has it by the rest of the name.
_PARTS = {"rpn_": "rpn", "box_": "roi_heads", "": None}
#: What can be set, wherever a part has it.
_OPTIONS = (
    *("pre_nms_top_n_train", "post_nms_top_n_train", "fg_iou_thresh", "bg_iou_thresh", "batch_size_per_image"),
    *("positive_fraction", "iou_thresh", "center_sampling_radius", "box_loss"),
)


def build_chain(model: Detector, pairs: list[str]) -> TrainChain:
    """Set options of the losses on a detector, and wrap it into its chain.

    Args:
        model (chainfpn.links.Detector): The detector.
        pairs (sequence of str): Options of the losses by torchvision's names, each KEY=VALUE.

    Returns:
        chainfpn.training.TrainChain: Its ``model`` is the detector.

    Raises:
        CommandError: if there is no such option, or it is out of its range.
    """
    places: dict[str, tuple[Any, str]] = {
        prefix + option: (part, option)
        for prefix, name in _PARTS.items()
        for part in (getattr(model, name, None) if name else model, None if name else getattr(model, "head", None))
        for option in _OPTIONS
        if hasattr(part, option)
    }
    for name, value in parse_key_values(pairs).items():
        if name not in places:
            raise CommandError(f"--loss: there is no {name} for this model, but {', '.join(places)}")
        try:
            setattr(*places[name], value)
        except InvalidArgument as error:
            raise CommandError(f"--loss: {name} must be {error.rule}, got {value}") from error
    for name, (part, option) in places.items():
        if option == "fg_iou_thresh" and part.bg_iou_thresh > part.fg_iou_thresh:
            low = name.replace("fg_iou_thresh", "bg_iou_thresh")
            raise CommandError(f"--loss: {name} must be at least {low}, {part.bg_iou_thresh}, got {part.fg_iou_thresh}")
    try:
        return TrainChain(model)
    except InvalidType as error:
        raise CommandError(f"--loss: {error}") from error
