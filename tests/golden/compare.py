"""Whether a detector computes what its original does: stage by stage, and detection by detection."""

import numpy as np

#: How far apart numbers of a stage may be, as a share of the largest, before the framework's own first float32 step and
#: after it.
BEFORE_FLOAT32, AFTER_FLOAT32 = 1e-8, 1e-5
#: The same of anchors, which are float32 here.
ANCHORS = 1e-6

#: How far apart the same detection may be: pixels of the photograph, and score.
PIXELS, SCORE = 0.05, 1e-5


def sample(array):
    """Return the 64 values that stand for an array in the answers."""
    flat = np.asarray(array).ravel()
    return flat[np.linspace(0, flat.size - 1, 64).astype(int)]


def check_close(found, expected, what, tolerance=BEFORE_FLOAT32):
    """Compare arrays, relative to the largest expected number.

    Args:
        found (array): Ours.
        expected (array): Theirs.
        what (str): Named if they differ.
        tolerance (float): Share of the largest.
    """
    scale = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=what)


def check_input(model, photo, x):
    """Compare a batch of one photograph.

    Args:
        model (GoldenModel): Whose answers.
        photo (str): The photograph.
        x (array): float64, (1, 3, H, W), normalized, channels in the framework's order.
    """
    assert list(x.shape) == model.facts[photo]["input"]["shape"]
    check_close(sample(x), model.arrays(photo)["input_sample"], "input")


def check_maps(model, photo, kind, maps, tolerance=BEFORE_FLOAT32):
    """Compare maps of all levels.

    Args:
        model, photo: See :func:`check_input`.
        kind (str): ``'feature'``, ``'logits'``, ``'deltas'``, ``'objectness'``, ...
        maps (sequence of array): Per level, (1, C, H_l, W_l), channels in the framework's order.
        tolerance (float): See :func:`check_close`.
    """
    answers = model.arrays(photo)
    prefix = f"{kind}_sample/"
    levels = sorted(key for key in answers if key.startswith(prefix))
    assert len(levels) == len(maps)
    for level, h in zip(levels, maps, strict=True):
        check_close(sample(h), answers[level], level, tolerance)


def check_anchors(model, photo, anchors):
    """Compare the first anchors of all levels, of FCOS their centres, which are its places.

    Args:
        model, photo: See :func:`check_input`.
        anchors (sequence of array): Per level, (N_l, 4), yxyx.
    """
    answers, facts = model.arrays(photo), model.facts[photo]
    assert [len(anchor) for anchor in anchors] == list(facts["n_anchors"].values())
    levels = sorted(key for key in answers if key.startswith("anchors/"))
    for level, anchor in zip(levels, anchors, strict=True):
        expected = answers[level]  # (20, 4) or (20, 2)
        corners = anchor[: len(expected), [1, 0, 3, 2]]
        found = corners if expected.shape[1] == 4 else (corners[:, :2] + corners[:, 2:]) / 2
        check_close(found, expected, level, ANCHORS)


def count_matched(model, photo, found, *, pixels=PIXELS, score=SCORE):
    """Count the detections that are their original's.

    Args:
        model, photo: See :func:`check_input`.
        found (chainfpn.links.Detections): Ours.
        pixels (float): How far apart a side may be.
        score (float): How far apart scores may be.

    Returns:
        int: Pairs of one of theirs and one of ours of the same class; each is in one pair at most.
    """
    answers = model.arrays(photo)
    bbox = answers["boxes"][:, [1, 0, 3, 2]]
    apart = np.abs(found.bbox[:, None] - bbox).max(axis=2, initial=0) / pixels  # (R, R'), ours and theirs
    apart = np.maximum(apart, np.abs(found.score[:, None] - answers["scores"]) / score)
    apart[found.label[:, None] != answers["classes"]] = np.inf
    n = 0
    while apart.size and apart.min() <= 1:
        i, j = np.unravel_index(apart.argmin(), apart.shape)
        apart[i], apart[:, j] = np.inf, np.inf
        n += 1
    return n
