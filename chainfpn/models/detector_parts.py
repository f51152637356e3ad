"""What the builders of detectors share: settling their options, labels and anchors."""

from types import SimpleNamespace

from chainfpn.boxes.anchors import AnchorGenerator
from chainfpn.links.detectors.preprocess import Preprocess
from chainfpn.models.detector_documentation import document
from chainfpn.models.trunks import resnet_classifier
from chainfpn.models.weights import choose, find_weights, resolve_label_names

#: torchvision's COCO detectors have 91 outputs; these are the 80 that COCO's categories use.
COCO_CLASS_IDS = tuple(i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83})

#: Options that every detector on a ResNet has, and torchvision's values. ``n_fg_class`` None is COCO with 91 outputs.
DEFAULTS = {
    "depth": 50,
    "n_fg_class": None,
    "stages": (1, 2, 3, 4),
    "fpn_channels": 256,
    "class_ids": None,
    "label_names": None,
    "norm": None,
    "norm_eps": 1e-5,
    "min_size": 800,
    "max_size": 1333,
    "anchor_sizes": None,
    "aspect_ratios": (0.5, 1.0, 2.0),
    "stride_in_1x1": False,
}


def fixed_builder(name, assemble, defaults, link, summary, *, source, classifier=resnet_classifier):
    """Make a builder of one of torchvision's detectors, whose trunk and widths are given.

    Args:
        name (str): The builder, which torchvision has by the same name.
        assemble (callable): See :func:`build`.
        defaults (dict): Every option and its default.
        link (type): What it returns.
        summary (str): What it builds, after the word "Build".
        source (str): The paper.
        classifier (callable): See :func:`build`.

    Returns:
        callable: The builder.
    """

    def builder(
        n_fg_class=None,
        pretrained_model=None,
        *,
        pretrained_backbone=None,
        class_ids=None,
        label_names=None,
        norm_eps=None,
        min_size=None,
        max_size=None,
        anchor_sizes=None,
        aspect_ratios=None,
        stride_in_1x1=None,
    ):
        explicit = {
            "n_fg_class": n_fg_class,
            "class_ids": class_ids,
            "label_names": label_names,
            "norm_eps": norm_eps,
            "min_size": min_size,
            "max_size": max_size,
            "anchor_sizes": anchor_sizes,
            "aspect_ratios": aspect_ratios,
            "stride_in_1x1": stride_in_1x1,
        }
        return build(
            name,
            assemble,
            defaults,
            pretrained_model,
            explicit,
            pretrained_backbone=pretrained_backbone,
            classifier=classifier,
            zoo=("coco",),
        )

    source = f"{source}; torchvision 0.14 ``{name}``."
    return document(builder, name, link, defaults, summary=summary, source=source, coco=True)


def dense_builder(name, assemble, defaults, link, summary, *, source):
    """Make a builder of a detector of one stage on any ResNet; the arguments are those of :func:`fixed_builder`.

    Returns:
        callable: The builder.
    """

    def builder(
        depth=None,
        n_fg_class=None,
        pretrained_model=None,
        *,
        pretrained_backbone=None,
        stages=None,
        fpn_channels=None,
        class_ids=None,
        label_names=None,
        norm=None,
        norm_eps=None,
        min_size=None,
        max_size=None,
        anchor_sizes=None,
        aspect_ratios=None,
        stride_in_1x1=None,
        p6_from_trunk=None,
        p7_relu=None,
    ):
        explicit = {
            "depth": depth,
            "n_fg_class": n_fg_class,
            "stages": stages,
            "fpn_channels": fpn_channels,
            "class_ids": class_ids,
            "label_names": label_names,
            "norm": norm,
            "norm_eps": norm_eps,
            "min_size": min_size,
            "max_size": max_size,
            "anchor_sizes": anchor_sizes,
            "aspect_ratios": aspect_ratios,
            "stride_in_1x1": stride_in_1x1,
            "p6_from_trunk": p6_from_trunk,
            "p7_relu": p7_relu,
        }
        return build(name, assemble, defaults, pretrained_model, explicit, pretrained_backbone=pretrained_backbone)

    return document(builder, name, link, defaults, summary=summary, source=source)


def build(
    name,
    assemble,
    defaults,
    pretrained_model,
    explicit,
    *,
    pretrained_backbone=None,
    classifier=resnet_classifier,
    zoo=(),
):
    """Settle a builder's options, assemble the detector and load its weights.

    Args:
        name (str): The builder.
        assemble (callable): Makes the detector from an object that has every option as an attribute, and ``name``.
        defaults (dict): Every option and its default.
        pretrained_model (str, os.PathLike, Weights or None): See :func:`~chainfpn.models.weights.find_weights`.
        explicit (dict): What the caller passed; None means nothing.
        pretrained_backbone (str, os.PathLike, Weights or None): Weights of the trunk alone.
        classifier (callable): Options to the :class:`~chainfpn.models.trunks.TrunkClassifier` whose weights those are.
        zoo (sequence of str): The words for torchvision's published weights.

    Returns:
        chainfpn.links.Detector: The detector.

    Raises:
        ValueError: if an option is out of its range, or weights are given for the trunk and for the whole.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read.
    """
    if pretrained_model is not None and pretrained_backbone is not None:
        raise ValueError(
            f"{name}: pretrained_backbone must be None where pretrained_model has the trunk's weights, "
            f"got {pretrained_backbone!r}"
        )
    weights = find_weights(pretrained_model, name=name, zoo=zoo)
    options = choose(defaults, weights, explicit)
    trunk = None
    if pretrained_backbone is not None:
        trunk = classifier(SimpleNamespace(name=name, **options)).find(pretrained_backbone)
        options = choose({**defaults, **trunk.options(defaults)}, weights, explicit)
    link = assemble(SimpleNamespace(name=name, **options))
    link.meta = _meta(name, options, defaults)
    if trunk is not None:
        trunk.load_into(link)
    return link if weights is None else weights.load_into(link)


def _meta(name, options, defaults):
    """Say in JSON values what it takes to build the same detector again, but for a norm of the caller's own."""
    named = "label_names"
    changed = {key: value for key, value in options.items() if key != named and value != defaults[key]}
    arguments = {key: value for key, value in changed.items() if not callable(value)}
    names = options[named] or ("coco" if options["n_fg_class"] is None else None)
    return {"model": name, "arguments": arguments, named: names}


def label_options(o, preprocess=None):
    """Tell how many outputs a detector has, and what its base class wants to know.

    Args:
        o (SimpleNamespace): The builder's options.
        preprocess (Preprocess or None): Images to batch; torchvision's within ``min_size`` and ``max_size`` by
            default.

    Returns:
        tuple: The number of outputs, background included, and the keyword arguments of
        :class:`~chainfpn.links.Detector`.
    """
    if o.n_fg_class is None:
        o.n_fg_class, o.class_ids, o.label_names = len(COCO_CLASS_IDS), COCO_CLASS_IDS, o.label_names or "coco"
    n_output = 1 + (o.n_fg_class if o.class_ids is None else max(o.class_ids))
    return n_output, {
        "n_fg_class": o.n_fg_class,
        "class_ids": o.class_ids,
        "label_names": resolve_label_names(o.label_names),
        "preprocess": Preprocess(o.min_size, o.max_size) if preprocess is None else preprocess,
    }


def anchor_generator(o, sizes, kind=AnchorGenerator):
    """Make the anchors of a pyramid.

    Args:
        o (SimpleNamespace): The builder's options.
        sizes (sequence of sequences of float): Per level, the sizes where ``anchor_sizes`` is None.
        kind (type): :class:`~chainfpn.boxes.AnchorGenerator` or a subclass.

    Returns:
        AnchorGenerator: The anchors.

    Raises:
        ValueError: if ``anchor_sizes`` has not an entry per level.
    """
    if o.anchor_sizes is not None and len(o.anchor_sizes) != len(sizes):
        raise ValueError(
            f"{o.name}: anchor_sizes must have {len(sizes)} entries, one per level, got {len(o.anchor_sizes)}"
        )
    return kind(sizes if o.anchor_sizes is None else o.anchor_sizes, o.aspect_ratios)
