"""Every detector with seeded weights: the cases, torchvision's answers, and a few numbers kept for those without it.

Run this file to write the numbers kept: ``python tests/reference/detector_cases.py``, or, of some detectors only,
``python tests/reference/detector_cases.py fpn50 fpn101``.
"""

import json
import pathlib
import sys
from typing import NamedTuple

import numpy as np

HERE = pathlib.Path(__file__).parent

#: The numbers kept: builder to what ``summary`` makes of its answers in float64.
GOLDEN = HERE / "golden_detectors.json"

#: Outputs, background included; proposals of each image; corners x0, y0, x1, y1 of boxes that the heads are run on, in
#: the first image and in the last.
N_OUTPUT, N_PROPOSALS = 7, 20
BOXES = (((3.0, 5.0, 60.0, 90.0), (40.5, 20.25, 47.75, 31.0), (0.0, 0.0, 127.0, 95.0)), ((30.0, 10.0, 80.0, 70.0),))

#: What keeps random detectors within reason: a block adds little to its input, boxes and scores change little.
GAINS = (
    (r"(body|fpn)/layer\d/\d+/bn3/gamma$", 0.2),
    (r"/bbox_(pred|reg)/|/regression_head/module_list/|(loc|cls)_head/8/", 0.1),
)


class Case(NamedTuple):
    """What a detector is run on.

    Attributes:
        sizes (tuple): Height and width of each image of a batch; the first is the batch's.
        n_detections (int): Most detections of each image; kuangliu has no limit.
    """

    sizes: tuple = ((96, 128), (83, 99))
    n_detections: int = 4


#: Builder to its case; those of torchvision's detectors, and those of kuangliu's networks.
CASES = {
    "fasterrcnn_resnet50_fpn": Case(),
    "fasterrcnn_resnet50_fpn_v2": Case(),
    "fasterrcnn_mobilenet_v3_large_fpn": Case(),
    "fasterrcnn_mobilenet_v3_large_320_fpn": Case(),
    "maskrcnn_resnet50_fpn": Case(),
    "maskrcnn_resnet50_fpn_v2": Case(),
    "keypointrcnn_resnet50_fpn": Case(n_detections=2),
    "retinanet_resnet50_fpn": Case(n_detections=8),
    "retinanet_resnet50_fpn_v2": Case(n_detections=8),
    "fcos_resnet50_fpn": Case(n_detections=8),
    "ssd300_vgg16": Case(sizes=((300, 300),), n_detections=8),
    "ssdlite320_mobilenet_v3_large": Case(sizes=((320, 320),), n_detections=8),
}
KUANGLIU_CASES = {"retinanet_kuangliu": Case(sizes=((100, 100), (100, 100))), "fpn50": Case(), "fpn101": Case()}

_CODE = """
import sys
sys.path[:0] = [str(folder), str(folder.parents[1])]
from detector_cases import BOXES, CASES, GAINS, N_OUTPUT, N_PROPOSALS
from seeded_weights import fill_module, seeded_input, skip_initial_values
from torchvision.models.detection.image_list import ImageList
from weights_convert.layouts.torchvision import FLATTEN
from weights_convert.report import Report
from weights_convert.rules import rename


class Prepared(torch.nn.Module):
    def forward(self, images, targets):
        return ImageList(torch.stack(images), list(case.sizes)), targets

    def postprocess(self, result, *sizes):
        return result


def head_outputs(model, features):
    if hasattr(model, "head"):
        for name, value in model.head(list(features.values())).items():
            yield name, value
        return
    logits, deltas = model.rpn.head(list(features.values()))
    batch = len(logits[0])
    yield "objectness", torch.cat([h.permute(0, 2, 3, 1).reshape(batch, -1) for h in logits], 1)
    yield "rpn_deltas", torch.cat([h.permute(0, 2, 3, 1).reshape(batch, -1, 4) for h in deltas], 1)
    heads, boxes = model.roi_heads, [torch.tensor(rows).to(logits[0]) for rows in BOXES]
    scores, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, list(case.sizes))))
    yield "class_logits", scores
    yield "box_deltas", deltas
    for kind in ("mask", "keypoint"):
        if getattr(heads, f"{kind}_head", None) is not None:
            pooled = getattr(heads, f"{kind}_roi_pool")(features, boxes, list(case.sizes))
            yield f"{kind}_logits", getattr(heads, f"{kind}_predictor")(getattr(heads, f"{kind}_head")(pooled))


skip_initial_values()
builder = str(inputs["builder"])
case = CASES[builder]
two_stages = {"rpn_post_nms_top_n_test": N_PROPOSALS, "box_detections_per_img": case.n_detections}
options = two_stages if "rcnn" in builder else {"detections_per_img": case.n_detections}
model = getattr(torchvision.models.detection, builder)(
    weights=None, weights_backbone=None, num_classes=N_OUTPUT, **options
).eval()
model.transform = Prepared()
state = model.state_dict()
names = rename({name: name for name in state}, FLATTEN, Report("checkpoint"))
fill_module(model, {theirs: ours for ours, theirs in names.items()}, GAINS)
outputs["parameters"] = np.array(sum(p.numel() for p in model.parameters()))
x = torch.from_numpy(seeded_input(len(case.sizes), 3, *case.sizes[0]))
for dtype in (torch.float32, torch.float64):
    model, x = model.to(dtype), x.to(dtype)
    with torch.no_grad():
        features = model.backbone(x)
        for i, h in enumerate(features.values()):
            outputs[f"{dtype} map{i}"] = h
        for name, value in head_outputs(model, features):
            outputs[f"{dtype} {name}"] = value
        for i, found in enumerate(model(list(x))):
            for name, value in found.items():
                outputs[f"{dtype} found{i} {name}"] = value
"""

_KUANGLIU_CODE = """
import sys
sys.path.insert(0, str(folder))
from detector_cases import GAINS, KUANGLIU_CASES, N_OUTPUT
from kuangliu_networks import FPN, RetinaNet, decode
from seeded_weights import fill_module, seeded_input, skip_initial_values

skip_initial_values()
builder = str(inputs["builder"])
sizes = KUANGLIU_CASES[builder].sizes
n_blocks = {"fpn50": (3, 4, 6, 3), "fpn101": (2, 2, 2, 2)}
net = (FPN(n_blocks[builder]) if builder in n_blocks else RetinaNet(N_OUTPUT - 1)).eval()
fill_module(net, gains=GAINS)
outputs["parameters"] = np.array(sum(p.numel() for p in net.parameters()))
x = torch.from_numpy(seeded_input(len(sizes), 3, *sizes[0]))
for dtype in (torch.float32, torch.float64):
    net, x = net.to(dtype), x.to(dtype)
    with torch.no_grad():
        for i, h in enumerate(net(x) if builder in n_blocks else net.fpn(x)):
            outputs[f"{dtype} map{i}"] = h
        if builder in n_blocks:
            continue
        deltas, logits = net(x)
        outputs[f"{dtype} cls_logits"], outputs[f"{dtype} bbox_regression"] = logits, deltas
        for i in range(len(sizes)):
            for name, value in zip(("boxes", "scores", "labels"), decode(deltas[i], logits[i], sizes[i][0])):
                outputs[f"{dtype} found{i} {name}"] = value
"""


def theirs(live, builder):
    """Return the answers of torchvision, or of kuangliu's networks in plain torch.

    Args:
        live (TorchvisionLive): The interpreter that has it.
        builder (str): Which detector.

    Returns:
        dict: ``'parameters'``; ``'{dtype} map{level}'``, the pyramid; ``'{dtype} {name}'``, what the heads say, the
        second stage's of ``BOXES``; ``'{dtype} found{image} {name}'``, detections as ours: ``bbox`` (yxyx),
        ``class_id``, ``score``, and ``mask`` or ``point`` and ``point_score``; dtypes are ``float32``, ``float64``.
    """
    answers = live.run(_CODE if builder in CASES else _KUANGLIU_CODE, folder=HERE, builder=builder)
    return dict(_as_ours(key.removeprefix("torch."), value) for key, value in answers.items())


def _as_ours(key, value):
    start, _, name = key.rpartition(" ")
    if "found" not in start:
        return key, value
    if name == "boxes":
        return f"{start} bbox", value[:, [1, 0, 3, 2]]
    if name == "masks":
        return f"{start} mask", value[:, 0]
    if name == "keypoints":
        return f"{start} point", value[..., [1, 0]]
    ours = {"labels": "class_id", "scores": "score", "keypoints_scores": "point_score"}
    return f"{start} {ours[name]}", value


def summary(answers):
    """Return what is kept of the answers in float64.

    Args:
        answers (dict): See :func:`theirs`.

    Returns:
        dict: The number of parameters; of each map and head the mean and the mean of the squares; and the best three
        detections of the first image, if it detects: corners, class id, score, and the mean of what else there is.
    """
    kept = {"parameters": int(answers["parameters"])}
    for key, value in answers.items():
        dtype, _, name = key.partition(" ")
        if dtype == "float64" and "found" not in name:
            kept[name] = [_short(value.mean()), _short(np.square(value).mean())]
    if "float64 found0 bbox" not in answers:
        return kept
    found = [answers[f"float64 found0 {name}"] for name in ("bbox", "class_id", "score")]
    more = [answers[key] for key in sorted(answers) if key.startswith(("float64 found0 mask", "float64 found0 point"))]
    kept["found"] = [
        [*map(_short, bbox), int(class_id), _short(score), *(_short(value[i].mean()) for value in more)]
        for i, (bbox, class_id, score) in enumerate(zip(*(values[:3] for values in found), strict=True))
    ]
    return kept


def _short(value):
    return float(f"{value:.9g}")


def golden():
    """Read the numbers kept.

    Returns:
        dict: Builder to what :func:`summary` made of torchvision's answers.
    """
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def _write_golden(live, builders):
    kept = golden() | {builder: summary(theirs(live, builder)) for builder in builders}
    entries = []
    for builder in {**CASES, **KUANGLIU_CASES}:
        rows = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in kept[builder].items())
        entries.append(f"  {json.dumps(builder)}: {{\n{rows}\n  }}")
    GOLDEN.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from reference import torchvision_live

    _write_golden(torchvision_live.find(), sys.argv[1:] or {**CASES, **KUANGLIU_CASES})
