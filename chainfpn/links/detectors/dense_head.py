"""Towers of convolutions over every level, and what one-stage detectors make of their output."""

import math

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import initializers

from chainfpn.boxes.non_maximum_suppression import batched_nms
from chainfpn.boxes.selection import clip, top_k
from chainfpn.links.detectors.detector import Detection
from chainfpn.links.indexed_sequential import IndexedSequential

#: Bias of class logits so that a fresh network calls everything background with this confidence.
PRIOR_PROBABILITY = 0.01


def tower(channels, *, norm=None, nobias=False, nested=False):
    """Make four 3x3 convolutions, each followed by its normalization and ReLU.

    Args:
        channels (int): Channels in and out.
        norm (callable or None): Makes a normalization link for a number of channels.
        nobias (bool): Leave the biases out.
        nested (bool): Group each convolution with its followers, as torchvision's newer heads do; this decides the
            names of the weights, nothing else.

    Returns:
        IndexedSequential: (B, channels, H, W) to (B, channels, H, W).

    Source:
        torchvision 0.14 ``RetinaNetClassificationHead``, ``FCOSClassificationHead``.
    """
    blocks = []
    for _ in range(4):
        convolution = prediction(channels, channels, nobias=nobias)
        block = [convolution, F.relu] if norm is None else [convolution, norm(channels), F.relu]
        blocks += [IndexedSequential(*block)] if nested else block
    return IndexedSequential(*blocks)


def prediction(in_channels, out_channels, *, bias=0, nobias=False):
    """Make a 3x3 convolution that starts as the heads of one-stage detectors do: normal weights of deviation 0.01.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Channels out.
        bias (float): Initial bias.
        nobias (bool): Leave the bias out.

    Returns:
        chainer.links.Convolution2D: (B, in_channels, H, W) to (B, out_channels, H, W).
    """
    normal = initializers.Normal(0.01)
    return L.Convolution2D(in_channels, out_channels, 3, pad=1, nobias=nobias, initialW=normal, initial_bias=bias)


def classification(in_channels, out_channels):
    """Make the :func:`prediction` of class logits, which starts by calling everything background.

    Args:
        in_channels (int): Channels in.
        out_channels (int): Anchors times classes.

    Returns:
        chainer.links.Convolution2D: (B, in_channels, H, W) to (B, out_channels, H, W).

    Source:
        Lin et al. 2017 (RetinaNet), section 4.1.
    """
    return prediction(in_channels, out_channels, bias=-math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))


def per_anchor(h, n):
    """Bring the output of a convolution into one row per anchor.

    Args:
        h (Variable): (B, A * n, H, W).
        n (int): Numbers per anchor.

    Returns:
        Variable: (B, H * W * A, n); positions row-major, the A anchors of a position next to each other.
    """
    return F.reshape(F.transpose(h, (0, 2, 3, 1)), (h.shape[0], -1, n))


def detect_per_level(
    scores, deltas, anchors, sizes, *, box_coder, score_thresh, nms_thresh, n_candidates, n_detections
):
    """Turn dense scores into detections: threshold, best of each level, decode, clip, suppress per class.

    Args:
        scores (list of array): Per level, (B, N_l, K).
        deltas (list of array): Per level, (B, N_l, 4).
        anchors (list of array): Per level, (N_l, 4), yxyx.
        sizes (sequence of (int, int)): Height and width of each image.
        box_coder (BoxCoder): What the deltas mean.
        score_thresh (float): Only scores above it are kept.
        nms_thresh (float): IoU above which the lower-scored of two detections of a class goes.
        n_candidates (int): Most candidates per level.
        n_detections (int): Most detections per image.

    Returns:
        list of Detection: One per image.

    Source:
        torchvision 0.14 ``RetinaNet.postprocess_detections``.
    """
    xp = chainer.backend.get_array_module(scores[0])
    detections = []
    for i, size in enumerate(sizes):
        bboxes, outputs, kept_scores = [], [], []
        for score, delta, anchor in zip(scores, deltas, anchors, strict=True):
            n_output = score.shape[2]
            score = score[i].ravel()  # (N_l * K,)
            (candidates,) = xp.nonzero(score > score_thresh)
            candidates = candidates[top_k(score[candidates], n_candidates)]  # (R_l,)
            position, output = candidates // n_output, candidates % n_output
            bboxes.append(clip(box_coder.decode(delta[i][position], anchor[position])[:, 0], size))  # (R_l, 4)
            outputs.append(output.astype("int32"))
            kept_scores.append(score[candidates])
        bbox, output, score = xp.concatenate(bboxes), xp.concatenate(outputs), xp.concatenate(kept_scores)
        keep = batched_nms(bbox, score, output, nms_thresh)[:n_detections]
        detections.append(Detection(bbox[keep], output[keep], score[keep]))
    return detections
