"""Small detectors of every family with seeded weights, which find something in any photograph."""

from chainfpn import models
from reference.classifier_answers import without_initial_values
from reference.detector_cases import GAINS
from reference.seeded_weights import fill_link
from reference.slim_detectors import slim_ssd

#: As for bottlenecks, a block adds little to its input; and scores are not all 1, whose order rounding decides.
BASIC_GAINS = ((r"body/layer\d/\d+/bn2/gamma$", 0.2), (r"/cls_logits/", 0.2), *GAINS)
#: The detectors, by builder or as ``build_small`` calls them.
SMALL = (
    "fasterrcnn_resnet_fpn",
    "fasterrcnn_resnet_fpn_v2",
    "maskrcnn_resnet_fpn",
    "cascade_mask_rcnn_resnet_fpn",
    "keypointrcnn_resnet_fpn",
    "retinanet_resnet_fpn",
    "retinanet_resnet_fpn_v2",
    "fcos_resnet_fpn",
    "ssd",
    "retinanet_kuangliu",
)


def small_options(name):
    """Return what makes a builder's detector on any ResNet small: 18 layers, few labels, and a slim branch.

    Args:
        name (str): The builder.

    Returns:
        dict: Its options.
    """
    options = {"depth": 18, "n_fg_class": 3, "fpn_channels": 32}
    if "mask" in name:
        options |= {"mask_layers": (16, 16), "mask_dim_reduced": 16}
    if "keypoint" in name:
        options["keypoint_layers"] = (32, 32)
    return options


class _Loaded:
    """Stands in for weights, which are seeded later."""

    @staticmethod
    def load_into(link):
        return link


def build_small(name, **options):
    """Build a small detector.

    Args:
        name (str): One of ``SMALL``.
        **options: Options of the builder, where it is one, beside the small ones or instead of them.

    Returns:
        chainfpn.links.Detector: With few detections of two stages, and some of one.
    """
    with without_initial_values():
        if name == "ssd":
            detector = slim_ssd(_Loaded)
        elif name == "retinanet_kuangliu":
            detector = models.retinanet_kuangliu(3, image_size=128)
        else:
            small = {**small_options(name), "min_size": 120, "max_size": 200}
            if "cascade" in name:
                small |= {"n_mask_heads": 2, "mask_layers": (16,)}
            detector = getattr(models, name)(**{**small, **options})
    fill_link(detector, BASIC_GAINS)
    if name != "retinanet_kuangliu":  # which scores a thousand boxes almost alike
        detector.score_thresh = 0.05
    if name.startswith(("retinanet_resnet", "fcos")):
        detector.topk_candidates = 50
    if hasattr(detector, "roi_heads"):
        detector.roi_heads.detections_per_img = 12
    return detector
