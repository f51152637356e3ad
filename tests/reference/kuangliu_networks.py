"""kuangliu's networks and rules in plain torch, for a snippet of ``torchvision_live`` to import, which has torch."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet


class Trunk(nn.Module):
    """A ResNet of bottlenecks without its last layer.

    Args:
        n_blocks (sequence of int): Blocks of each of the four stages.
        align_corners (bool): How a coarser level is enlarged: True before PyTorch 0.4, False since.
    """

    def __init__(self, n_blocks, align_corners=False):
        super().__init__()
        self.align_corners = align_corners
        trunk = ResNet(Bottleneck, n_blocks)
        for name in ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4"):
            setattr(self, name, getattr(trunk, name))

    def stages(self, x):
        """Return the map of each stage: c2, c3, c4, c5."""
        c2 = self.layer1(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        return c2, c3, c4, self.layer4(c4)

    def enlarge_add(self, p, c):
        """Enlarge a coarser level to the size of a map and add them."""
        return F.interpolate(p, size=c.shape[2:], mode="bilinear", align_corners=self.align_corners) + c


class FPN(Trunk):
    """The pyramid of kuangliu/pytorch-fpn; the arguments are those of :class:`Trunk`."""

    def __init__(self, n_blocks, align_corners=False):
        super().__init__(n_blocks, align_corners)
        self.toplayer = nn.Conv2d(2048, 256, 1)
        for i, n in ((1, 1024), (2, 512), (3, 256)):
            setattr(self, f"latlayer{i}", nn.Conv2d(n, 256, 1))
            setattr(self, f"smooth{i}", nn.Conv2d(256, 256, 3, 1, 1))

    def forward(self, x):
        c2, c3, c4, c5 = self.stages(x)
        p5 = self.toplayer(c5)
        p4 = self.enlarge_add(p5, self.latlayer1(c4))
        p3 = self.enlarge_add(p4, self.latlayer2(c3))
        p2 = self.enlarge_add(p3, self.latlayer3(c2))
        return self.smooth3(p2), self.smooth2(p3), self.smooth1(p4), p5


class RetinaFPN(Trunk):
    """The pyramid of kuangliu/pytorch-retinanet; the arguments are those of :class:`Trunk`."""

    def __init__(self, n_blocks, align_corners=False):
        super().__init__(n_blocks, align_corners)
        for i, n in ((1, 2048), (2, 1024), (3, 512)):
            setattr(self, f"latlayer{i}", nn.Conv2d(n, 256, 1))
        self.toplayer1, self.toplayer2 = nn.Conv2d(256, 256, 3, 1, 1), nn.Conv2d(256, 256, 3, 1, 1)
        self.conv6, self.conv7 = nn.Conv2d(2048, 256, 3, 2, 1), nn.Conv2d(256, 256, 3, 2, 1)

    def forward(self, x):
        _, c3, c4, c5 = self.stages(x)
        p6 = self.conv6(c5)
        p7 = self.conv7(F.relu(p6))
        p5 = self.latlayer1(c5)
        p4 = self.toplayer1(self.enlarge_add(p5, self.latlayer2(c4)))
        p3 = self.toplayer2(self.enlarge_add(p4, self.latlayer3(c3)))
        return p3, p4, p5, p6, p7


class RetinaNet(nn.Module):
    """The detector of kuangliu/pytorch-retinanet, on a ResNet-50.

    Args:
        n_class (int): Labels.
        align_corners (bool): See :class:`Trunk`.
    """

    def __init__(self, n_class, align_corners=False):
        super().__init__()
        self.n_class, self.fpn = n_class, RetinaFPN((3, 4, 6, 3), align_corners)
        self.loc_head, self.cls_head = self.head(36), self.head(9 * n_class)

    def head(self, n_out):
        layers = [layer for _ in range(4) for layer in (nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU())]
        return nn.Sequential(*layers, nn.Conv2d(256, n_out, 3, 1, 1))

    def forward(self, x):
        def rows(h, n):
            return h.permute(0, 2, 3, 1).reshape(len(x), -1, n)

        hs = self.fpn(x)
        return (
            torch.cat([rows(self.loc_head(h), 4) for h in hs], 1),
            torch.cat([rows(self.cls_head(h), self.n_class) for h in hs], 1),
        )


def anchors(size):
    """List the anchors of a square image: (N, 4), centre x, centre y, width, height."""
    rows = []
    for level, area in enumerate((32.0**2, 64.0**2, 128.0**2, 256.0**2, 512.0**2)):
        n = math.ceil(size / 2 ** (level + 3))
        for i in range(n):
            for j in range(n):
                for ratio in (1 / 2, 1, 2):
                    h = math.sqrt(area / ratio)
                    sides = [(ratio * h * scale, h * scale) for scale in (1, 2 ** (1 / 3), 2 ** (2 / 3))]
                    rows.extend(((j + 0.5) * size / n, (i + 0.5) * size / n, *side) for side in sides)
    return torch.tensor(rows, dtype=torch.float64)


def decode(loc, cls, size):
    """Turn what the network says of one image into boxes x0, y0, x1, y1, scores and labels.

    One anchor after the other; sides are counted in whole pixels.
    """
    anchor = anchors(size)
    xy, wh = loc[:, :2] * anchor[:, 2:] + anchor[:, :2], loc[:, 2:].exp() * anchor[:, 2:]
    score, label = cls.sigmoid().max(1)
    keep = score > 0.5
    boxes, score, label = torch.cat([xy - wh / 2, xy + wh / 2], 1)[keep], score[keep], label[keep]
    rows, kept = boxes.tolist(), []
    for i in score.argsort(descending=True).tolist():
        if all(overlap(rows[i], rows[j]) <= 0.5 for j in kept):
            kept.append(i)
    return boxes[kept], score[kept], label[kept]


def overlap(a, b):
    """Divide the intersection of two boxes by their union."""
    both = area((*map(max, a[:2], b[:2]), *map(min, a[2:], b[2:])))
    return both / (area(a) + area(b) - both)


def area(box):
    """Count the pixels of a box, its last row and column too."""
    return max(0.0, box[2] - box[0] + 1) * max(0.0, box[3] - box[1] + 1)
