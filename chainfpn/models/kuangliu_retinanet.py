"""The builder of kuangliu/pytorch-retinanet's detector."""

from chainfpn.boxes.kuangliu_anchors import KuangliuAnchorGenerator
from chainfpn.links.detectors.preprocess import Preprocess
from chainfpn.links.kuangliu_retinanet import KuangliuRetinaNet
from chainfpn.models.detector_documentation import document
from chainfpn.models.detector_parts import build
from chainfpn.models.trunk_weights import TrunkClassifier
from chainfpn.models.weights import resolve_label_names

#: Every option and its default; the labels are as many as Pascal VOC has.
DEFAULTS = {"n_fg_class": 20, "label_names": None, "align_corners": False, "image_size": 600}

#: Per level from P3 to P7, the square roots of the anchors' areas; and heights over widths.
ANCHOR_SIZES = [[32 * 2**level * 2 ** (third / 3) for third in range(3)] for level in range(5)]
ASPECT_RATIOS = (2.0, 1.0, 0.5)


def _assemble(o):
    """Put the detector together from one value for every option of DEFAULTS."""
    return KuangliuRetinaNet(
        o.n_fg_class,
        KuangliuAnchorGenerator(ANCHOR_SIZES, ASPECT_RATIOS),
        align_corners=o.align_corners,
        label_names=resolve_label_names(o.label_names),
        preprocess=Preprocess(fixed_size=(o.image_size, o.image_size), size_divisible=1),
    )


def _classifier(o):
    """Tell which classifier the trunk's weights are from."""
    places = {name: f"fpn/{name}" for name in ("conv1/", "bn1/", "layer1/", "layer2/", "layer3/", "layer4/")}
    return TrunkClassifier("resnet50", places, ("fc/",))


def _retinanet_kuangliu(
    n_fg_class=None,
    pretrained_model=None,
    *,
    pretrained_backbone=None,
    label_names=None,
    align_corners=None,
    image_size=None,
):
    explicit = {
        "n_fg_class": n_fg_class,
        "label_names": label_names,
        "align_corners": align_corners,
        "image_size": image_size,
    }
    return build(
        "retinanet_kuangliu",
        _assemble,
        DEFAULTS,
        pretrained_model,
        explicit,
        pretrained_backbone=pretrained_backbone,
        classifier=_classifier,
    )


retinanet_kuangliu = document(
    _retinanet_kuangliu,
    "retinanet_kuangliu",
    KuangliuRetinaNet,
    DEFAULTS,
    summary="the RetinaNet of kuangliu/pytorch-retinanet, on a ResNet-50.",
    source="Lin et al. 2017 (RetinaNet); kuangliu/pytorch-retinanet.",
)
