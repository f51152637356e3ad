"""Train ChainerCV's Faster R-CNN with torchvision's ResNet in the place of ChainerCV's.

    python examples/chainercv_trunk.py --weights imagenet --steps 2000

``TorchvisionTrunk`` is new, and ``FastHead``, because Chainer's RoI Align takes minutes on a CPU. The rest is what a
script on ChainerCV's FPN does already; data are synthetic shapes. To try it on little:

    python examples/chainercv_trunk.py --depth 18 --size 64 --steps 1 --batch 1 --out sample_trunk.npz
"""

import argparse

import chainfpn  # noqa: F401  (first: it makes Chainer importable)

# isort: split

import chainer
import chainer.functions as F
import numpy as np
from chainercv.links.model import fpn

from chainfpn import datasets, functions, models

SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64)


class TorchvisionTrunk(chainer.Chain):
    """What ChainerCV's FPN asks of its base: the mean that is subtracted, and maps of strides 4 to 32.

    Args:
        depth (int): Of the ResNet.
        weights (str or None): ``"imagenet"``, ``"imagenet_v2"``, or a file, a ``.pth`` too.
    """

    def __init__(self, depth, weights):
        super().__init__()
        with self.init_scope():
            self.resnet = models.get_model(f"resnet{depth}", n_class=0, pretrained_model=weights)
        self.resnet.pick = ("layer1", "layer2", "layer3", "layer4")
        statistics = self.resnet.preprocess.mean, self.resnet.preprocess.std
        self.mean, self.std = (255 * np.array(values, np.float32)[:, None, None] for values in statistics)

    def forward(self, x):
        """Return four maps of images (B, 3, H, W) without their mean; ChainerCV divides by nothing."""
        return self.resnet(x / self.xp.asarray(self.std))


class FastHead(fpn.BboxHead):
    """ChainerCV's head with our RoI Align."""

    def forward(self, hs, rois, roi_indices):
        """Return deltas (R', K, 4) and class logits (R', K) of the RoIs of all levels."""
        pooled = [
            functions.roi_align(h, roi, index, 7, spatial_scale=scale, sampling_ratio=2)
            for h, roi, index, scale in zip(hs, rois, roi_indices, SCALES, strict=True)
            if len(roi)
        ]
        h = F.relu(self.fc2(F.relu(self.fc1(F.concat(pooled, axis=0)))))
        return F.reshape(self.loc(h), (len(h), -1, 4)), self.conf(h)


def losses(model, imgs, bboxes, labels):
    """Return ChainerCV's four losses: boxes and scores of the proposals, then of the head."""
    x, scales = model.prepare(imgs)
    bboxes = [model.xp.asarray(bbox * scale) for bbox, scale in zip(bboxes, scales, strict=True)]
    labels = [model.xp.asarray(label) for label in labels]
    with chainer.using_config("train", False):  # batch normalization as it is in the file
        hs = model.extractor(x)
    anchors = model.rpn.anchors(h.shape[2:] for h in hs)
    outputs = model.rpn(hs)
    proposal = fpn.rpn_loss(*outputs, anchors, [img.shape[1:] for img in x], bboxes)
    rois, indices = model.rpn.decode(*outputs, anchors, x.shape)
    rois = model.xp.vstack([rois, *bboxes])
    indices = model.xp.hstack([indices, model.xp.repeat(np.arange(len(x)), [len(bbox) for bbox in bboxes])])
    rois, indices = model.bbox_head.distribute(rois, indices.astype(np.int32))
    rois, indices, *targets = fpn.bbox_head_loss_pre(rois, indices, model.bbox_head.std, bboxes, labels)
    head = fpn.bbox_head_loss_post(*model.bbox_head(hs, rois, indices), indices, *targets, len(x))
    return *proposal, *head


def main(arguments=None):
    """Train, and save what ChainerCV loads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--weights", help="imagenet, or a file; random without it")
    parser.add_argument("--size", type=int, default=256, help="sides of the images")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--out", default="chainercv_fpn.npz")
    options = parser.parse_args(arguments)

    data = datasets.ShapesDataset(200, options.size)
    extractor = fpn.FPN(TorchvisionTrunk(options.depth, options.weights), 4, SCALES)
    model = fpn.FasterRCNN(
        extractor=extractor,
        rpn=fpn.RPN(SCALES),
        bbox_head=FastHead(len(data.label_names) + 1, SCALES),
        mask_head=None,
        return_values=["bboxes", "labels", "scores"],
        min_size=options.size,
        max_size=2 * options.size,
    )
    optimizer = chainer.optimizers.MomentumSGD(lr=0.002).setup(model)
    optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(10))
    iterator = chainer.iterators.SerialIterator(data, options.batch)
    for step in range(options.steps):
        parts = losses(model, *datasets.collate(iterator.next()))
        loss = sum(parts)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        if step % 20 == 0:
            print(f"step {step}  loss {float(loss.array):.3f}", flush=True)
    chainer.serializers.save_npz(options.out, model, compression=False)
    with chainer.using_config("train", False):
        bboxes, labels, scores = model.predict([data[0][0]])
    for box, label, score in zip(bboxes[0], labels[0], scores[0], strict=True):
        print(data.label_names[label], f"{score:.2f}", box.round())


if __name__ == "__main__":
    main()
