"""The docstrings of the builders of detectors: one entry for each argument, for those that a builder has."""

import inspect
import re

#: What the documentation of the builders says, each with the arguments it has.
_DOCUMENTATION = """Build {summary}

    An option that is None takes what ``__meta__`` of the weights says, and if there is nothing, the default.

    Args:
{arguments}

    Returns:
        chainfpn.links.{link}: The detector.

    Raises:
        ValueError: if an option is out of its range, or there are weights for the trunk and for the whole.
        WeightsError: if the weights do not fit.
        OSError: if they cannot be read or fetched.

    Source:
        {source}
    """
_ARGUMENTS = """
        depth (int, str or None): 18, 34, 50, 101 or 152, or the name of a ResNeXt or wide ResNet such as
            ``'resnext50_32x4d'``; 50 by default.
        n_fg_class (int or None): Labels, background excluded; by default {labels}.
        pretrained_model (str, os.PathLike or None): Path of an .npz, or of a checkpoint to convert on
            the fly{coco}.
        pretrained_backbone (str, os.PathLike or None): Weights of the trunk alone, instead: ``'imagenet'`` or
            ``'imagenet_v2'`` for torchvision's of the classifier, or the path of a classifier's .npz or checkpoint.
        stages (sequence of int or None): Stages 1 to 4 of the ResNet that the pyramid stands on, ascending and
            without a gap; {stages} by default. Those above the last are cut off.
        fpn_channels (int or None): Channels of every level; 256 by default.
        head_channels (int or None): Width of the fully connected layers of the head; 1024 by default.
        n_keypoint (int or None): Keypoints of each object; 17 by default.
        class_ids (sequence of int or None): For each label the index of the network's output.
        label_names (str, sequence of str or None): Names of the labels, or ``'coco'`` or ``'voc'``.
        norm (str, callable or None): Normalization of the trunk, and of a second version's pyramid and heads:
            ``'frozen'`` or ``'batch'`` normalization, ``'group'`` normalization, or what makes a link for a number of
            channels; torchvision's choice by default.
        norm_eps (float or None): Epsilon of the normalization; 1e-5 by default. Some of torchvision's own
            weights want 0; their ``__meta__`` says so.
        min_size (int, sequence of int or None): Length that the shorter side of an image is resized to;
            {min_size} by default. Of several, one is drawn for each image in training; otherwise
            it is the last.
        max_size (int or None): Limit of the longer side; {max_size} by default.
        anchor_sizes (sequence of sequences of float or None): Per level of the pyramid; torchvision's by default.
        aspect_ratios (sequence of float or None): Heights over widths; {aspect_ratios} by default.
        stride_in_1x1 (bool or None): Put the stride of a bottleneck into its first 1x1 convolution, as trunks from
            Caffe, detectron2 and ChainerCV want it; False by default. Only a ResNet of bottlenecks can.
        p6_from_trunk (bool or None): Make the level P6 from the trunk's last map, not from the pyramid's;
            {p6_from_trunk} by default.
        p7_relu (bool or None): Put a ReLU between the levels P6 and P7; {p7_relu} by default. mmdetection has none.
        align_corners (bool or None): How coarser levels are enlarged, see :class:`~chainfpn.links.KuangliuFPN`;
            {align_corners} by default.
        image_size (int or None): The sides that every image is brought to, whatever its shape; {image_size} by
            default.
        rules (str or None): Whose input, anchors, thresholds and masks go with the weights: ``'torchvision'``, the
            default, or ``'chainercv'``."""


def document(builder, name, link, defaults, *, summary, source, coco=False):
    """Give a builder its name and its documentation, from the arguments in its signature.

    Args:
        builder (callable): The builder.
        name (str): What it is called.
        link (type): What it returns.
        defaults (dict): Every option and its default.
        summary (str): What it builds, after the word "Build".
        source (str): Where that is from.
        coco (bool): There is a published file.

    Returns:
        callable: The builder.
    """
    builder.__name__ = builder.__qualname__ = name
    labels = "COCO's 80 on torchvision's 91 outputs" if defaults["n_fg_class"] is None else defaults["n_fg_class"]
    values = {**defaults, "labels": labels, "coco": ", or ``'coco'`` for torchvision's" if coco else ""}
    entries = re.split(r"\n(?=        \w)", _ARGUMENTS)[1:]
    present = inspect.signature(builder).parameters
    arguments = "\n".join(entry.format(**values) for entry in entries if entry.split()[0] in present)
    builder.__doc__ = _DOCUMENTATION.format(summary=summary, arguments=arguments, link=link.__name__, source=source)
    return builder
