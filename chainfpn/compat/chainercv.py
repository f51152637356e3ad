"""What ChainerCV misses of itself: its C extension does not compile on Python 3.11 and later."""

import numpy as np

from chainfpn.compat.rows import Module, Noise


def _nms_gpu_post(mask, n_bbox, threads_per_block, col_blocks):
    """Pick the boxes that survive, in order, from the overlaps the GPU has found.

    Args:
        mask (array): uint64, (n_bbox * col_blocks,). Row i is a bit set over the boxes: bit j is set if j > i
            and box i, once selected, suppresses box j.
        n_bbox (int): Number of boxes.
        threads_per_block (int): Boxes per word of the mask.
        col_blocks (int): Words per row of the mask.

    Returns:
        tuple: int32 array (n_bbox,) whose first entries are the selected indices, and how many there are.
    """
    mask = mask.reshape(n_bbox, col_blocks)
    suppressed = np.zeros(col_blocks, dtype=np.uint64)
    selection = np.zeros(n_bbox, dtype=np.int32)
    n_selected = 0
    for i in range(n_bbox):
        word, bit = divmod(i, threads_per_block)
        if not (int(suppressed[word]) >> bit) & 1:
            selection[n_selected] = i
            n_selected += 1
            suppressed |= mask[i]
    return selection, n_selected


def _contents():
    return {"_nms_gpu_post": _nms_gpu_post}


CHAINERCV = (
    Module(
        "chainercv.utils.bbox._nms_gpu_post",
        since="Python 3.11 (the shipped C file does not compile)",
        needed_by="chainercv: utils/bbox/non_maximum_suppression",
        stand_in="the same selection in NumPy",
        contents=_contents,
    ),
    Noise(
        "Overriding method",
        since="Chainer 7",
        needed_by="chainercv: utils/testing/constant_stub_link, when ChainerCV is imported",
        stand_in="nothing: the warning is not shown",
        category=DeprecationWarning,
        module=r"chainer\.utils\.meta",
    ),
    Noise(
        r"unclosed file <_io\.TextIOWrapper name=.*null",
        since="ever, where warnings are shown",
        needed_by="chainercv: the two COCO evaluations, which quiet pycocotools",
        stand_in="nothing: the warning is not shown",
        category=ResourceWarning,
        module="contextlib",
    ),
    Noise(
        r"__array__ implementation doesn't accept a copy keyword",
        since="NumPy 2.0",
        needed_by="pycocotools: decoding masks",
        stand_in="nothing: the warning is not shown",
        category=DeprecationWarning,
        module=r"pycocotools\.mask",
    ),
    Noise(
        r"\*c\* argument looks like a single numeric RGB",
        since="Matplotlib 3",
        needed_by="chainercv: visualizations/vis_point",
        stand_in="nothing: the warning is not shown",
        category=UserWarning,
        module=r"chainercv\.visualizations\.vis_point",
    ),
    Noise(
        r"setDaemon\(\) is deprecated",
        since="Python 3.10",
        needed_by="chainer: iterators/multiprocess_iterator",
        stand_in="nothing: the warning is not shown",
        category=DeprecationWarning,
        module=r"chainer\.iterators\.multiprocess_iterator",
    ),
)
