"""The detector that a training starts from, and the options of its losses."""

import argparse
import re
from typing import Any

from chainer import serializers

from chainfpn import WeightsError, set_weights
from chainfpn._typing import Communicator, Report
from chainfpn.cli.detector import find_file
from chainfpn.cli.errors import CommandError
from chainfpn.datasets import DetectionDataset
from chainfpn.errors import InvalidArgument, InvalidType
from chainfpn.links import Detector
from chainfpn.models import MODELS
from chainfpn.models._weights import Weights, find_weights
from chainfpn.training import TrainChain, synchronize_norms
from weights_convert import parse_key_values

#: The builders that there are losses for.
DETECTORS = [
    model.name
    for model in MODELS.values()
    if model.family in ("faster_rcnn", "mask_rcnn", "cascade_rcnn", "keypoint_rcnn", "retinanet", "fcos", "ssd")
]
DEFAULT_MODEL = "fasterrcnn_resnet_fpn"
#: How names in a detector begin, and in no trunk.
_DETECTOR = ("backbone/", "rpn/", "roi_heads/", "head/")
#: The layers whose size is a matter of the labels.
_PREDICTORS = re.compile(r"/(box_predictor|mask_fcn_logits|kps_score_lowres|classification_head/.*)/")

#: Options of the builders that other options of the command line decide.
_DECIDED = ("n_fg_class", "label_names", "n_keypoint", "keypoint_names", "pretrained_model", "pretrained_backbone")
#: How torchvision's name of an option begins, and the part of the detector that has it by the rest of the name.
_LOSS_PARTS = {"rpn_": "rpn", "box_": "roi_heads", "": None}
#: What can be set, wherever a part has it.
_LOSS_OPTIONS = (
    *("pre_nms_top_n_train", "post_nms_top_n_train", "fg_iou_thresh", "bg_iou_thresh", "batch_size_per_image"),
    *("positive_fraction", "iou_thresh", "center_sampling_radius", "box_loss"),
)


def build_model(
    settings: argparse.Namespace, data: DetectionDataset, log: Report, comm: Communicator = None
) -> Detector:
    """Build a detector for the labels, and perhaps the keypoints, of a data set.

    The weights may be those of a trunk, or of a detector of the same kind with other labels: its predictors then start
    anew. A training that is resumed builds the detector of its ``train.json``, and needs no weights but its snapshot.

    Args:
        settings (argparse.Namespace): The options of ``chainfpn train``.
        data (DetectionDataset): The data to train with.
        log (callable): Takes a sentence for the user.
        comm (chainermn.CommunicatorBase or None): The processes, over which ``--set norm=sync`` normalizes.

    Returns:
        chainfpn.links.Detector: The detector, on the CPU.

    Raises:
        CommandError: if an option does not fit.
        WeightsError: if the weights do not.
        OSError: if they cannot be read.
    """
    requested = parse_key_values(settings.set)
    for name in requested:
        if name in _DECIDED:
            raise CommandError(f"--set {name}: --data and --weights decide that")
    is_sync = requested.get("norm") == "sync"
    if is_sync and comm is None:
        raise CommandError("--set norm=sync normalizes over the processes of --mpi")
    if settings.resume_state is not None and "model" in settings.resume_state:
        model = _rebuild(settings.resume_state["model"], data)
    else:  # one over processes is a batch normalization to whoever loads the weights
        model = _build(settings, {**requested, "norm": "batch"} if is_sync else requested, data, log)
    if is_sync:
        synchronize_norms(model, comm)
    if settings.train_sizes is not None:
        _set_train_sizes(model, settings.train_sizes)
    return model


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
        for prefix, name in _LOSS_PARTS.items()
        for part in (getattr(model, name, None) if name else model, None if name else getattr(model, "head", None))
        for option in _LOSS_OPTIONS
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


def _build(settings, requested, data, log):
    """Build the detector that a training starts from."""
    weights = None
    if settings.weights is None:
        log("no --weights: begins at random; a trunk such as resnet50, or a detector, needs far fewer images")
    else:
        weights = find_weights(find_file(settings.weights, log), name=None)
    is_detector = weights is not None and any(name.startswith(_DETECTOR) for name in weights.arrays)
    meta_arguments = weights.arguments if is_detector else {}
    name = settings.model or (weights.meta.get("model") if is_detector else None) or DEFAULT_MODEL
    if name not in DETECTORS:
        raise CommandError(f"--model must be one of {', '.join(DETECTORS)}, got {name}")
    labels = _labels(name, data)
    options = {key: value for key, value in meta_arguments.items() if key not in (*labels, "class_ids")}
    options |= requested
    try:
        trunk = {} if weights is None or is_detector else {"pretrained_backbone": weights}
        model = MODELS[name].builder(**{**options, **labels, **trunk})
    except WeightsError:
        raise
    except (TypeError, ValueError) as error:
        begun = weights.meta.get("model", name) if is_detector else name
        where = "" if begun == name else f"{weights.file}: is of {begun}, whose options another model may lack: "
        raise CommandError(f"{where}{error}") from error
    if is_detector:
        fresh = _load(weights, model)
        if fresh:
            log(f"{weights.file}: has other labels; {', '.join(fresh)} start anew")
    return model


def _labels(name: str, data: DetectionDataset) -> dict[str, Any]:
    """Return the options of a builder that the data decide."""
    labels: dict[str, Any] = {"n_fg_class": len(data.label_names), "label_names": data.label_names}
    if data.keypoint_names and "n_keypoint" in MODELS[name].options:
        labels |= {"n_keypoint": len(data.keypoint_names), "keypoint_names": data.keypoint_names}
    return labels


def _rebuild(meta: dict[str, Any], data: DetectionDataset) -> Detector:
    """Build the detector of a ``train.json``."""
    try:
        arguments = Weights({}, meta, "train.json").arguments
        return MODELS[meta["model"]].builder(**{**arguments, **_labels(meta["model"], data)})
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"--resume: the model in train.json cannot be built ({error})") from error


def _set_train_sizes(model, sizes):
    """Let training draw from sizes of its own; ``predict`` keeps the one of the model."""
    fixed = model.preprocess.fixed_size
    if fixed is not None:
        size = " x ".join(map(str, fixed))
        raise CommandError(f"--train-sizes is not for {model.meta['model']}, which sees every image as {size} pixels")
    try:
        model.preprocess.train_sizes = sizes
    except ValueError:
        limit = model.preprocess.max_size
        raise CommandError(
            f"--train-sizes must be at most the limit of the longer side, {limit} (--set max_size=N), got {max(sizes)}"
        ) from None


def _load(weights: Any, model: Detector) -> list[str]:
    """Load the weights of a detector but for predictors of another size, whose names are returned."""
    try:
        set_weights(weights.arrays, model, file=weights.file)
    except WeightsError as error:
        fresh = [name for name in error.misshapen if _PREDICTORS.search(name)]
        if not fresh:
            raise
        own = serializers.DictionarySerializer()
        own.save(model)
        set_weights({**weights.arrays, **{name: own.target[name] for name in fresh}}, model, file=weights.file)
        return fresh
    return []
