"""The way from a builder's options, and from weights, to a detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from chainfpn._option_rules import check_option, check_settings
from chainfpn.errors import InvalidArgument
from chainfpn.models._options import DetectorOptions

if TYPE_CHECKING:
    from chainfpn.models._trunks import TrunkClassifier
    from chainfpn.models._weights import Weights

#: What torchvision's users write, and what it is here.
_TORCHVISION = {
    "weights": "pretrained_model",
    "pretrained": "pretrained_model",
    "weights_backbone": "pretrained_backbone",
    "num_classes": "n_fg_class, which leaves the background out",
    "num_keypoints": "n_keypoint",
    "trainable_backbone_layers": "chainfpn.training.freeze_backbone",
    "box_score_thresh": "score_thresh",
    "box_nms_thresh": "nms_thresh",
    "box_detections_per_img": "detections_per_img",
    "norm_layer": "norm",
    "progress": "nothing: the command shows a bar",
}


def build(
    name: str,
    arguments: dict[str, Any],
    assemble: Callable[[Any], Any],
    *,
    trunk_classifier: Callable[[Any], TrunkClassifier] | None = None,
) -> Any:
    """Settle a builder's options, assemble the detector and load its weights.

    Args:
        name (str): The builder.
        arguments (dict): The builder's arguments, ``options`` among them; None stands for nothing.
        assemble (callable): Options to the detector.
        trunk_classifier (callable or None): Options to the classifier whose weights ``pretrained_backbone`` are; by
            default that of the option ``depth``.

    Returns:
        chainfpn.links.Detector: The detector.

    Raises:
        TypeError: if there is no option of a name.
        ValueError: if an option is out of its range, or weights are given for the trunk and for the whole.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read.
    """
    from chainfpn.models.registry import MODELS

    default: Any = MODELS[name].default_options
    explicit = {**arguments, **arguments["options"]}
    del explicit["options"]
    check_names(name, explicit)
    explicit = {key: value for key, value in explicit.items() if value is not None}
    pretrained_model, backbone = explicit.pop("pretrained_model", None), explicit.pop("pretrained_backbone", None)
    if pretrained_model is not None and backbone is not None:
        rule = "None where pretrained_model has the trunk's weights"
        raise InvalidArgument(name, "pretrained_backbone", rule, backbone)
    weights, trunk = None if pretrained_model is None else _find_weights(pretrained_model, name), None
    options = choose_options(default, weights, explicit)
    if backbone is not None:
        from chainfpn.models._trunks import find_classifier

        classifier: Callable[[Any], TrunkClassifier] = trunk_classifier or find_classifier
        trunk = classifier(options).find(backbone)
        options = trunk.settle(options, explicit.keys())
    link = assemble(options.with_labels())
    link.cleargrads()  # Chainer makes them with the parameters, as large again; a backward pass makes its own
    link.meta = _meta(options, default)
    if trunk is not None:
        trunk.load_into(link)
    return link if weights is None else weights.load_into(link)


def _find_weights(pretrained_model, name):
    """Read the weights of a detector, and refuse those of a classifier."""
    from chainfpn.models._weights import find_weights
    from chainfpn.models.registry import MODELS
    from chainfpn.serialization import WeightsError

    weights = find_weights(pretrained_model, name=name)
    model = MODELS.get(weights.meta.get("model"))
    if model is not None and model.task == "classification":
        raise WeightsError(f"{weights.file}: holds the weights of {model.name}; pass it as pretrained_backbone")
    return weights


def check_names(name: str, options: Iterable[str]) -> None:
    """Check the names of a builder's options.

    Args:
        name (str): The builder.
        options (iterable of str): Names.

    Raises:
        TypeError: if the builder has no option of a name; of torchvision's words it says what they are here.
    """
    from chainfpn.models.registry import MODELS

    known = MODELS[name].options
    wider = name.replace("_resnet50_fpn", "_resnet_fpn")
    for key in options:
        if key not in known and key in MODELS[wider].options:
            raise TypeError(f"{name}: there is no option {key!r}; {wider} has it")
        if key not in known:
            known_as = {**_TORCHVISION, **({"num_classes": "n_class"} if "n_class" in known else {})}
            here = f"here it is {known_as[key]}" if key in known_as else f"there are {', '.join(sorted(known))}"
            raise TypeError(f"{name}: there is no option {key!r}; {here}")


def choose_options(default: DetectorOptions, weights: Weights | None, explicit: Mapping[str, Any]) -> DetectorOptions:
    """Settle a builder's options: what the caller says goes before what the weights say, and that before the default.

    Args:
        default (DetectorOptions): Every option's default.
        weights (Weights or None): Weights whose ``__meta__`` may name options.
        explicit (mapping): What the caller passed.

    Returns:
        DetectorOptions: The options.

    Raises:
        InvalidArgument: if an option is out of its range.
        WeightsError: if the weights want an option to differ from its default that the caller could not pass either:
            they are of another model.
    """
    from chainfpn.models.registry import MODELS

    stored = {} if weights is None else dict(weights.arguments)
    if weights is not None and weights.meta.get("label_names") is not None:
        stored["label_names"] = weights.meta["label_names"]
    stored = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()}
    for key in [key for key in stored if key not in MODELS[default.name].options]:
        value = stored.pop(key)
        if value != getattr(default, key, None):
            from chainfpn.serialization import WeightsError

            file = "" if weights is None else weights.file
            raise WeightsError(f"{file}: its model has {key} {value!r}, which this builder has not")
    chosen, shaping = {**stored, **explicit}, {entry.name for entry in fields(default)}
    for key, value in chosen.items():
        check_option(default.name, key, value)
    settings = {key: chosen.pop(key) for key in chosen.keys() - shaping}
    check_settings(default.name, settings)
    return replace(default, **chosen, settings={**default.settings, **settings})


def _meta(options: DetectorOptions, default: DetectorOptions) -> dict[str, Any]:
    """Return in JSON values what it takes to build the same detector again, but for a norm of the caller's own."""
    changed = {
        entry.name: value
        for entry in fields(options)
        if entry.name not in ("name", "label_names", "settings")
        and (value := getattr(options, entry.name)) != getattr(default, entry.name)
    }
    arguments = {key: value for key, value in changed.items() if not callable(value)}
    arguments |= {key: value for key, value in options.settings.items() if value != default.settings.get(key)}
    names = options.label_names or ("coco" if options.n_fg_class is None else None)
    return {"model": options.name, "arguments": arguments, "label_names": names}
