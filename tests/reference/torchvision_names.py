"""torchvision's names of losses and parameters, for those of ours."""

import re

#: torchvision's names of the losses to ours.
LOSSES = {
    "loss_objectness": "rpn_objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "roi_class",
    "loss_box_reg": "roi_box",
    "loss_mask": "mask",
    "loss_keypoint": "keypoint",
    "classification": "class",
    "bbox_regression": "box",
    "bbox_ctrness": "centerness",
}

#: Leaves of a Chainer link, and torch's names for them.
LEAVES = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}


def find_parameter(arrays, prefix, path):
    """Find the array of a parameter; torchvision nests some convolutions once or twice more.

    Args:
        arrays (dict): torchvision's arrays by name.
        prefix (str): Ahead of the names.
        path (str): Path of our parameter, as of ``namedparams``.

    Returns:
        array: Of this parameter.
    """
    stem, _, leaf = path.strip("/").replace("/", ".").rpartition(".")
    if f"{prefix}{stem}.weight" not in arrays:  # its newer names: towers are counted without ReLUs, mask_fcn1 is 0
        stem = re.sub(r"conv\.([246])$", lambda match: f"conv.{int(match[1]) // 2}", stem)
        stem = re.sub(r"mask_fcn(\d)$", lambda match: str(int(match[1]) - 1), stem)
    (name,) = {f"{prefix}{stem}{nested}.{LEAVES[leaf]}" for nested in ("", ".0", ".0.0")} & arrays.keys()
    return arrays[name]
