"""Whether two lists of detections are the same, whatever the order of those that score the same."""

import numpy as np

#: How far apart the same detection may be: pixels, score, share of the pixels of a mask (a random one is nearly
#: one half in many places), a keypoint's logit.
PIXELS, SCORE, MASK, LOGIT = 0.05, 1e-4, 5e-3, 1e-2


def disagreement(found, expected):
    """Describe how detections differ.

    Args:
        found (chainfpn.links.Detections): The detections of one.
        expected (chainfpn.links.Detections): Those of the other.

    Returns:
        str: Empty if each is one of the other's, else what the first is that is not.
    """
    if len(found) != len(expected):
        return f"{len(found)} detections, not {len(expected)}"
    if not len(found):
        return ""
    apart = np.abs(found.bbox[:, None] - expected.bbox).max(axis=2) / PIXELS  # (R, R)
    apart = np.maximum(apart, np.abs(found.score[:, None] - expected.score) / SCORE)
    apart[found.label[:, None] != expected.label] = np.inf
    nearest = apart.argmin(axis=1)
    for i, j in enumerate(nearest):
        if apart[i, j] > 1 or apart[:, j].min() > 1:
            return f"{found.bbox[i]} {found.label[i]} {found.score[i]}: nearest {expected.bbox[j]} {expected.score[j]}"
        if expected.mask is not None and (found.mask[i] != expected.mask[j]).mean() > MASK:
            return f"mask {i}: {(found.mask[i] != expected.mask[j]).sum()} pixels"
        if expected.point is not None and np.abs(found.point_score[i] - expected.point_score[j]).max() > LOGIT:
            return f"keypoints {i}: {found.point_score[i]}, not {expected.point_score[j]}"
    return ""
