"""One training step of torchvision's Faster R-CNN, stage by stage: snippets that run where it is installed."""

#: Builds torchvision's detector as ``model``, with its data and its trainable parameters.
BUILD = """
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

torch.set_num_threads(int(inputs["threads"]))
stages = inputs["stages"].tolist()
body = torchvision.models.__dict__["resnet" + str(inputs["depth"])](norm_layer=torchvision.ops.FrozenBatchNorm2d)
channels = [body.layer1[0].expansion * 64 * 2 ** (s - 1) for s in stages]
for name, parameter in body.named_parameters():
    parameter.requires_grad_(name.startswith(("layer2", "layer3", "layer4")))
names = [str(i) for i in range(len(stages))]
width, hidden = int(inputs["fpn_channels"]), int(inputs["head_channels"])
model = FasterRCNN(
    BackboneWithFPN(body, {f"layer{s}": n for s, n in zip(stages, names)}, channels, width, LastLevelMaxPool()),
    min_size=int(inputs["min_size"]),
    rpn_anchor_generator=AnchorGenerator(
        tuple((32 * 2**i,) for i in range(len(stages) + 1)), ((0.5, 1.0, 2.0),) * (len(stages) + 1)
    ),
    box_roi_pool=torchvision.ops.MultiScaleRoIAlign(names, 7, 2),
    box_head=TwoMLPHead(width * 49, hidden),
    box_predictor=FastRCNNPredictor(hidden, int(inputs["n_fg_class"]) + 1),
)
device = str(inputs["device"])
model.to(device)
imgs = [torch.from_numpy(inputs["img"] / np.float32(255)).to(device)]
boxes = torch.from_numpy(inputs["bbox"][:, [1, 0, 3, 2]]).to(device)
targets = [{"boxes": boxes, "labels": torch.ones(1, dtype=torch.long, device=device)}]
"""

#: Makes the checkpoint: random weights with proposals that differ.
MAKE = """
model.eval()
settle(model, lambda: model.backbone(model.transform(imgs)[0].tensors), 0)
spread(lambda: model(imgs), (model.rpn.head.cls_logits, 3), (model.rpn.head.bbox_pred, 0.3))
box = model.roi_heads.box_predictor
spread(lambda: model(imgs), (box.cls_score, 1), (box.bbox_pred, 0.3))
torch.save(model.state_dict(), folder / "detector.pth")
"""

#: The staged step of torchvision.
THEIR_STEP = """
model.load_state_dict(torch.load(folder / "detector.pth"))
model.train()
optimizer = torch.optim.SGD(
    [p for p in model.parameters() if p.requires_grad], lr=float(inputs["lr"]), momentum=0.9, weight_decay=1e-4
)
rpn, heads = model.rpn, model.roi_heads
fg_bg_sampler = rpn.fg_bg_sampler


def cut(tensors):
    return [t.detach().requires_grad_() for t in tensors]


def step(lap):
    images, truth = model.transform(imgs, targets)
    lap("prepare")
    features = model.backbone(images.tensors)
    maps = list(features.values())
    lap("trunk forward")
    leaves = cut(maps)
    objectness, deltas = rpn.head(leaves)
    lap("RPN and box heads")
    anchors = rpn.anchor_generator(images, leaves)
    o_leaves, d_leaves = cut(objectness), cut(deltas)
    o, d = concat_box_prediction_layers(list(o_leaves), list(d_leaves))
    boxes = rpn.box_coder.decode(d.detach(), anchors).view(len(anchors), -1, 4)
    proposals, _ = rpn.filter_proposals(boxes, o.detach(), images.image_sizes, [t[0].numel() for t in objectness])
    lap("proposals")
    labels, matched = rpn.assign_targets_to_anchors(anchors, truth)
    encoded = rpn.box_coder.encode(matched, anchors)
    drawn = fg_bg_sampler(labels)
    regions, _, classes, goals = heads.select_training_samples(proposals, truth)
    lap("targets")
    rpn.fg_bg_sampler = lambda labels: drawn
    losses = list(rpn.compute_loss(o, d, labels, encoded))
    sum(losses).backward()
    lap("losses")
    torch.autograd.backward(objectness + deltas, [t.grad for t in o_leaves + d_leaves])
    lap("RPN and box heads")
    pooled = heads.box_roi_pool(dict(zip(features, leaves)), regions, images.image_sizes)
    lap("RoI ops")
    (p_leaf,) = cut([pooled])
    predicted = heads.box_predictor(heads.box_head(p_leaf))
    lap("RPN and box heads")
    leaf_predicted = cut(predicted)
    losses += fastrcnn_loss(*leaf_predicted, classes, goals)
    sum(losses[2:]).backward()
    lap("losses")
    torch.autograd.backward(predicted, [t.grad for t in leaf_predicted])
    lap("RPN and box heads")
    pooled.backward(p_leaf.grad)
    lap("RoI ops")
    torch.autograd.backward(maps, [t.grad for t in leaves])
    lap("trunk backward")
    optimizer.step()
    optimizer.zero_grad()
    lap("update")
    return [float(loss) for loss in losses]


outputs["first step"] = np.array(step(lambda stage: None))
model.load_state_dict(torch.load(folder / "detector.pth"))
wait = torch.cuda.synchronize if device == "cuda" else lambda: None
for stage, seconds in Laps(bool(inputs["processor"]), wait).run(step, int(inputs["repeat"])).items():
    outputs[stage] = np.array(seconds)
"""
