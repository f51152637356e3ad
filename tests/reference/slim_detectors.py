"""Slim detectors on a ResNet-18 for comparing training, in torchvision and as ours; and pictures with a truth."""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import chainer
import numpy as np

from chainfpn import models
from chainfpn.boxes import DefaultBoxGenerator
from chainfpn.links import SSD, BatchNormalization, Preprocess
from chainfpn.links.detectors.keypoint_head import KeypointRCNNPredictor, keypoint_head
from chainfpn.links.detectors.mask_head import MaskHead, MaskRCNNPredictor
from chainfpn.links.detectors.ssd import SSDHead
from chainfpn.models._weights import find_weights
from reference.random_networks import RANDOM_NETWORKS

#: Channels of the pyramid, which stands on stages 2 and 3; labels, and outputs with the background.
FPN_CHANNELS, N_FG_CLASS, N_OUTPUT = 32, 3, 4

#: Keypoints of each object.
N_KEYPOINT = 5

#: Runs in the live interpreter, ahead of a snippet: makes a detector, its batch, and pins what is random.
SLIM_DETECTORS = f"""
import functools

from torchvision.models.detection import FasterRCNN, KeypointRCNN, MaskRCNN, fcos, retinanet, ssd
from torchvision.models.detection import keypoint_rcnn, mask_rcnn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import LastLevelP6P7, LastLevelMaxPool

torch.set_num_threads(1)  # the networks are too small for more
torch.randperm = lambda n, **options: torch.arange(n)
BATCH = torch.nn.BatchNorm2d


def backbone(extra, norm=torchvision.ops.FrozenBatchNorm2d, **options):
    body = torchvision.models.resnet18(weights=None, norm_layer=norm)
    del body.layer4, body.fc
    levels = {{"layer2": "0", "layer3": "1"}}
    return BackboneWithFPN(body, levels, [128, 256], {FPN_CHANNELS}, extra_blocks=extra, **options)


def rcnn_parts():
    sizes = ((32,), (64,), (128,))
    return {{
        "backbone": backbone(LastLevelMaxPool()),
        "rpn_anchor_generator": AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 3),
        "box_roi_pool": torchvision.ops.MultiScaleRoIAlign(["0", "1"], 7, 2),
        "box_head": torchvision.models.detection.faster_rcnn.TwoMLPHead({FPN_CHANNELS} * 49, 48),
        "box_predictor": torchvision.models.detection.faster_rcnn.FastRCNNPredictor(48, {N_OUTPUT}),
    }}


def rcnn_v2_parts():
    box_head = torchvision.models.detection.faster_rcnn.FastRCNNConvFCHead
    return {{
        **rcnn_parts(),
        "backbone": backbone(LastLevelMaxPool(), BATCH, norm_layer=BATCH),
        "rpn_head": torchvision.models.detection.rpn.RPNHead({FPN_CHANNELS}, 3, conv_depth=2),
        "box_head": box_head(({FPN_CHANNELS}, 7, 7), [{FPN_CHANNELS}] * 4, [48], norm_layer=BATCH),
    }}


def mask_parts(**options):
    return {{
        "mask_roi_pool": torchvision.ops.MultiScaleRoIAlign(["0", "1"], 14, 2),
        "mask_head": mask_rcnn.MaskRCNNHeads({FPN_CHANNELS}, (16,) * 4, 1, **options),
        "mask_predictor": mask_rcnn.MaskRCNNPredictor(16, 16, {N_OUTPUT}),
    }}


def keypoint_parts():
    return {{
        "keypoint_roi_pool": torchvision.ops.MultiScaleRoIAlign(["0", "1"], 14, 2),
        "keypoint_head": keypoint_rcnn.KeypointRCNNHeads({FPN_CHANNELS}, (16,) * 3),
        "keypoint_predictor": keypoint_rcnn.KeypointRCNNPredictor(16, {N_KEYPOINT}),
    }}


def dense_backbone():
    return backbone(LastLevelP6P7({FPN_CHANNELS}, {FPN_CHANNELS}))


def retinanet_v2():
    body = backbone(LastLevelP6P7(256, {FPN_CHANNELS}), BATCH)
    anchors = retinanet_anchors()
    norm = functools.partial(torch.nn.GroupNorm, 32)
    head = retinanet.RetinaNetHead({FPN_CHANNELS}, anchors.num_anchors_per_location()[0], {N_OUTPUT}, norm_layer=norm)
    head.regression_head._loss_type = "giou"
    return {{"backbone": body, "num_classes": {N_OUTPUT}, "anchor_generator": anchors, "head": head}}


def retinanet_anchors():
    sizes = tuple(tuple(int(x * 2 ** (third / 3)) for third in range(3)) for x in (32, 64, 128, 256))
    return AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 4)


def ssd_anchors():
    return DefaultBoxGenerator([[2], [2, 3], [2]], scales=[0.2, 0.4, 0.6, 0.8], steps=[8, 16, 32])


def ssd_head():
    return ssd.SSDHead([{FPN_CHANNELS}] * 3, ssd_anchors().num_anchors_per_location(), {N_OUTPUT})


def batch(dtype):
    imgs = [torch.from_numpy(inputs[f"img{{i}}"]).to(dtype) / 255 for i in range(int(inputs["n_img"]))]
    targets = []
    for i in range(len(imgs)):
        target = {{
            "boxes": torch.from_numpy(inputs[f"bbox{{i}}"][:, [1, 0, 3, 2]]).to(dtype),
            "labels": torch.from_numpy(inputs[f"label{{i}}"]).long() + 1,
        }}
        if f"mask{{i}}" in inputs:
            target["masks"] = torch.from_numpy(inputs[f"mask{{i}}"]).byte()
        if f"point{{i}}" in inputs:
            point, visible = inputs[f"point{{i}}"][..., [1, 0]], inputs[f"visible{{i}}"][..., None]
            target["keypoints"] = torch.from_numpy(np.concatenate((point, visible), axis=2).astype(np.float32))
        targets.append(target)
    return imgs, targets
"""


#: Runs behind it: a detector with random weights that have settled, which are saved for ours.
SETTLED = """
{theirs}
imgs, targets = batch(torch.float32)
run = lambda: model.eval()(imgs)
settle(model, lambda: model.backbone(model.transform(imgs)[0].tensors), 0)
{spread}
torch.save(model.state_dict(), folder / "weights.pth")
"""


class Slim(NamedTuple):
    """A slim detector.

    Attributes:
        builder (callable): Ours; takes ``pretrained_model``.
        options (dict): What makes ours as slim.
        theirs (str): Python that makes torchvision's, as ``model``.
        spread (str): Python that gives the outputs of its random heads a given spread: see ``random_networks``.
        training (dict): Options of training, by torchvision's names.
        others (tuple of str): What the truth has beyond boxes and labels.
    """

    builder: Callable
    options: dict
    theirs: str
    spread: str
    training: dict
    others: tuple = ()


_SIZES = MappingProxyType({"min_size": 96, "max_size": 160})
_OPTIONS = {"depth": 18, "n_fg_class": N_FG_CLASS, "stages": (2, 3), "fpn_channels": FPN_CHANNELS, **_SIZES}

#: Few regions, which go through large heads; not quite torchvision's own numbers, to show that they are heeded.
_RCNN_TRAINING = MappingProxyType(
    {
        "rpn_fg_iou_thresh": 0.6,
        "rpn_bg_iou_thresh": 0.25,
        "rpn_batch_size_per_image": 100,
        "rpn_positive_fraction": 0.4,
        "box_fg_iou_thresh": 0.55,
        "box_bg_iou_thresh": 0.45,
        "box_batch_size_per_image": 40,
        "box_positive_fraction": 0.3,
    }
)
_RCNN_SPREAD = """
spread(run, (model.rpn.head.cls_logits, 3), (model.rpn.head.bbox_pred, 0.3))
spread(run, (model.roi_heads.box_predictor.cls_score, 3), (model.roi_heads.box_predictor.bbox_pred, 1))
"""
_MASK_SPREAD = "spread(run, (model.roi_heads.mask_predictor.mask_fcn_logits, 3))"
_DENSE_SPREAD = """
spread(run, (model.head.classification_head.cls_logits, 1), (model.head.regression_head.bbox_reg, {deltas}))
model.head.classification_head.cls_logits.bias.data -= 2
"""
_SSD_SPREAD = """
logits, deltas = model.head.classification_head.module_list, model.head.regression_head.module_list
spread(run, *((module, 1) for module in logits), *((module, 0.3) for module in deltas))
"""


def _rcnn(builder, theirs, spread="", others=(), run="model.eval()(imgs)", **options):
    few = {"rpn_post_nms_top_n_test": 20, "box_detections_per_img": 5}  # the test mode only settles the weights
    return Slim(
        builder,
        {**_OPTIONS, "head_channels": 48, **options},
        f"model = {theirs}, **{_SIZES | _RCNN_TRAINING | few})",
        f"run = lambda: {run}\n{_RCNN_SPREAD}{spread}",
        _RCNN_TRAINING,
        others,
    )


def _dense(builder, theirs, spread, **training):
    sizes = {"size": (96, 96)} if builder is slim_ssd else _SIZES
    options = {} if builder is slim_ssd else _OPTIONS
    return Slim(builder, options, f"model = {theirs}, **{sizes | training})", spread, training)


def slim_ssd(pretrained_model):
    """Build a slim SSD, for which there is no builder; the arguments are the weights."""
    backbone = models.fasterrcnn_resnet_fpn(**_OPTIONS).backbone
    anchors = DefaultBoxGenerator([[2], [2, 3], [2]], [0.2, 0.4, 0.6, 0.8], [8, 16, 32])
    head = SSDHead([FPN_CHANNELS] * 3, anchors.n_anchors, N_OUTPUT)
    preprocess = Preprocess(fixed_size=(96, 96), size_divisible=1)
    return pretrained_model.load_into(SSD(backbone, head, anchors, n_fg_class=N_FG_CLASS, preprocess=preprocess))


def slim_mask_rcnn(pretrained_model, **options):
    """Build a Mask R-CNN with a slim mask branch."""
    return pretrained_model.load_into(_with_slim_masks(models.maskrcnn_resnet_fpn(**options)))


def slim_mask_rcnn_v2(pretrained_model, **options):
    """Build the second version of a Mask R-CNN with a slim mask branch."""
    model = models.maskrcnn_resnet_fpn_v2(**options)
    return pretrained_model.load_into(_with_slim_masks(model, norm=BatchNormalization))


def _with_slim_masks(model, norm=None):
    del model.roi_heads.mask_head, model.roi_heads.mask_predictor
    with model.roi_heads.init_scope():
        model.roi_heads.mask_head = MaskHead(FPN_CHANNELS, (16,) * 4, norm=norm)
        model.roi_heads.mask_predictor = MaskRCNNPredictor(16, N_OUTPUT, 16)
    return model


def slim_keypoint_rcnn(pretrained_model, **options):
    """Build a Keypoint R-CNN with a slim keypoint branch."""
    model = models.keypointrcnn_resnet_fpn(**options)
    del model.roi_heads.keypoint_head, model.roi_heads.keypoint_predictor
    with model.roi_heads.init_scope():
        model.roi_heads.keypoint_head = keypoint_head(FPN_CHANNELS, (16,) * 3)
        model.roi_heads.keypoint_predictor = KeypointRCNNPredictor(16, N_KEYPOINT)
    return pretrained_model.load_into(model)


SLIM = {
    "faster_rcnn": _rcnn(models.fasterrcnn_resnet_fpn, "FasterRCNN(**rcnn_parts()"),
    "mask_rcnn": _rcnn(
        slim_mask_rcnn,
        "MaskRCNN(**rcnn_parts(), **mask_parts()",
        _MASK_SPREAD,
        ("mask",),
    ),
    "mask_rcnn_v2": _rcnn(
        slim_mask_rcnn_v2,
        "MaskRCNN(**rcnn_v2_parts(), **mask_parts(norm_layer=BATCH)",
        _MASK_SPREAD,
        ("mask",),
        run="model.train()(imgs, targets)",  # which the batch's statistics decide
    ),
    "keypoint_rcnn": _rcnn(
        slim_keypoint_rcnn,
        "KeypointRCNN(**rcnn_parts(), **keypoint_parts()",
        "spread(run, (model.roi_heads.keypoint_predictor.kps_score_lowres, 3))",
        ("point", "visible"),
        n_keypoint=N_KEYPOINT,
    ),
    "retinanet": _dense(
        models.retinanet_resnet_fpn,
        f"retinanet.RetinaNet(dense_backbone(), {N_OUTPUT}, anchor_generator=retinanet_anchors()",
        _DENSE_SPREAD.format(deltas=0.3),
        fg_iou_thresh=0.45,
        bg_iou_thresh=0.35,
    ),
    "retinanet_v2": _dense(
        models.retinanet_resnet_fpn_v2,
        "retinanet.RetinaNet(**retinanet_v2()",
        _DENSE_SPREAD.format(deltas=0.3),
        fg_iou_thresh=0.45,
        bg_iou_thresh=0.35,
    ),
    "fcos": _dense(
        models.fcos_resnet_fpn,
        f"fcos.FCOS(dense_backbone(), {N_OUTPUT}, "
        "anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4)",
        _DENSE_SPREAD.format(deltas=2),
        center_sampling_radius=1.7,
    ),
    "ssd": _dense(
        slim_ssd,
        f"ssd.SSD(backbone(LastLevelMaxPool()), ssd_anchors(), num_classes={N_OUTPUT}, head=ssd_head()",
        _SSD_SPREAD,
        iou_thresh=0.45,
        positive_fraction=0.3,
    ),
}


def pictures(n_img=2):
    """Make noisy pictures of different sizes, the last of which shows nothing.

    Args:
        n_img (int): How many.

    Returns:
        tuple of lists: Images (3, H, W), boxes (R, 4) and labels (R,).
    """
    random = np.random.default_rng(1)
    imgs, bboxes, labels = [], [], []
    for i in range(n_img):
        height, width = 100 + 20 * (i % 3), 150 - 30 * (i % 2)
        img = random.uniform(0, 255, (3, height // 8 + 1, width // 8 + 1)).astype(np.float32)
        img = img.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
        n_object = 0 if n_img > 1 and i == n_img - 1 else 3
        corner = random.uniform(0, 50, (n_object, 2))
        bbox = np.concatenate((corner, corner + random.uniform(20, 48, (n_object, 2))), axis=1).astype(np.float32)
        bbox[:1] = 5, 8, 95, 110  # large enough for the second level of FCOS
        label = random.integers(0, N_FG_CLASS, n_object).astype(np.int32)
        for (top, left, bottom, right), name in zip(bbox.astype(int), label, strict=True):
            img[:, top:bottom, left:right] = 80 * name + random.uniform(0, 40, (3, 1, 1))
        img += random.uniform(-10, 10, img.shape)  # in an even area rounding alone would choose a maximum to pool
        imgs.append(np.ascontiguousarray(img.clip(0, 255)))
        bboxes.append(bbox)
        labels.append(label)
    return imgs, bboxes, labels


def marks(imgs, bboxes):
    """Mark the objects: an ellipse in each box, and keypoints in and around it, one right on its corner.

    Args:
        imgs (list of array): (3, H, W).
        bboxes (list of array): (R, 4).

    Returns:
        dict of lists: ``mask`` (R, H, W), ``point`` (R, K, 2) and ``visible`` (R, K).
    """
    random = np.random.default_rng(2)
    lists = {"mask": [], "point": [], "visible": []}
    for img, bbox in zip(imgs, bboxes, strict=True):
        centre, size = (bbox[:, :2] + bbox[:, 2:]) / 2, bbox[:, 2:] - bbox[:, :2]  # (R, 2)
        grid = np.stack(np.indices(img.shape[1:]), axis=-1)  # (H, W, 2)
        offset = (grid - centre[:, None, None]) / size[:, None, None]  # (R, H, W, 2)
        lists["mask"].append((offset**2).sum(axis=-1) < 0.25)
        point = centre[:, None] + random.uniform(-0.6, 0.6, (len(bbox), N_KEYPOINT, 2)) * size[:, None]
        point[:, 0] = bbox[:, 2:]
        lists["point"].append(point.astype(np.float32))
        lists["visible"].append(random.random((len(bbox), N_KEYPOINT)) < 0.8)
    return lists


def as_inputs(imgs, bboxes, labels, **others):
    """Name the arrays as ``batch`` wants them.

    Returns:
        dict of array: For the live interpreter.
    """
    lists = {"img": imgs, "bbox": bboxes, "label": labels, **others}
    arrays = {f"{name}{i}": array for name, arrays in lists.items() for i, array in enumerate(arrays)}
    return {"n_img": np.array(len(imgs)), **arrays}


def ask_torchvision(slim, torchvision_live, folder, code, **more):
    """Have torchvision's twin of a slim detector run a snippet on the pictures.

    Args:
        slim (Slim): The detector.
        torchvision_live (TorchvisionLive): Where.
        folder (path): Where it writes ``weights.pth``.
        code (str): What it runs when the detector is made and its weights are saved, braces doubled.
        **more (array): Inputs of the snippet beside the pictures and their truth.

    Returns:
        tuple: The weights, the pictures with their truth, and what the snippet put out.
    """
    imgs, bboxes, labels = pictures()
    others = {name: values for name, values in marks(imgs, bboxes).items() if name in slim.others}
    code = RANDOM_NETWORKS + SLIM_DETECTORS + (SETTLED + code).format(theirs=slim.theirs, spread=slim.spread)
    expected = torchvision_live.run(code, folder, **more, **as_inputs(imgs, bboxes, labels, **others))
    weights = find_weights(folder / "weights.pth", name=None, any_names=True)
    return weights, (imgs, bboxes, labels, *others.values()), expected


def reported_by(chain, truth):
    """Call a chain under a reporter.

    Args:
        chain (chainfpn.training.TrainChain): The chain.
        truth (sequence of lists): Its arguments.

    Returns:
        tuple: The loss, and the dict of what was reported, as floats.
    """
    reporter = chainer.Reporter()
    reporter.add_observer("main", chain)
    observation = {}
    with reporter.scope(observation):
        loss = chain(*truth)
    return loss, {name.removeprefix("main/"): float(value.array) for name, value in observation.items()}
