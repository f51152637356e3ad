"""What detectors of one stage share: every position of every level is a candidate."""

from chainfpn.boxes._nms import batched_nms
from chainfpn.boxes.filtering import clip, top_k
from chainfpn.links.detectors.detector import Detector, RawDetections


class DenseDetector(Detector):
    """Base of the detectors that decide at every anchor in one go.

    A subclass has a ``box_coder``, a ``n_detections``, and ``scores``, which turns the head's output into scores.

    Args:
        backbone (callable): Batch (B, 3, H, W) to a list of maps, finest first.
        head (callable): Maps to lists, an entry per level: class logits (B, N_l, K), deltas (B, N_l, 4), and what else
            ``scores`` takes.
        anchor_generator (callable): An :class:`~chainfpn.boxes.AnchorGenerator`.
        n_fg_class (int): Number of labels, background excluded.
        class_ids (sequence of int or None): See :class:`~chainfpn.links.Detector`.
        label_names (sequence of str or None): See :class:`~chainfpn.links.Detector`.
        preprocess (callable or None): See :class:`~chainfpn.links.Detector`.
        n_candidates (int): Most candidates per level.
        n_detections (int or None): Most detections per image; the class's ``n_detections`` by default.
    """

    def __init__(
        self,
        backbone,
        head,
        anchor_generator,
        *,
        n_fg_class,
        class_ids=None,
        label_names=None,
        preprocess=None,
        n_candidates=1000,
        n_detections=None,
    ):
        super().__init__(n_fg_class=n_fg_class, class_ids=class_ids, label_names=label_names, preprocess=preprocess)
        self.anchor_generator = anchor_generator
        self.n_candidates = n_candidates
        if n_detections is not None:
            self.n_detections = n_detections
        with self.init_scope():
            self.backbone = backbone
            self.head = head

    def forward(self, x, sizes):
        """Detect objects in a prepared batch.

        Args:
            x (Variable): (B, 3, H, W).
            sizes (sequence of (int, int)): Height and width of each image within the batch.

        Returns:
            list of RawDetections: One per image, in the pixels of the batch.
        """
        hs = self.backbone(x)  # levels of (B, C, H_l, W_l)
        logits, deltas, *others = self.head(hs)  # levels of (B, N_l, K), (B, N_l, 4)
        scores = self.scores(logits, *others)  # levels of (B, N_l, K)
        anchors = self.anchor_generator([h.shape[2:] for h in hs], x.shape[2:], self.xp)  # levels of (N_l, 4)
        return [
            self._detect([score[i] for score in scores], [delta.array[i] for delta in deltas], anchors, size)
            for i, size in enumerate(sizes)
        ]  # images of (R, 4), (R,), (R,)

    def _detect(self, scores, deltas, anchors, size):
        """Turn the scores of one image into detections.

        Threshold, best of each level, decode, clip, suppress per class: torchvision 0.14
        ``RetinaNet.postprocess_detections``.
        """
        xp = self.xp
        bboxes, outputs, kept_scores = [], [], []
        for score, delta, anchor in zip(scores, deltas, anchors, strict=True):
            n_output = score.shape[1]
            score = score.ravel()  # (N_l * K,)
            (candidates,) = xp.nonzero(score > self.score_thresh)
            candidates = candidates[top_k(score[candidates], self.n_candidates)]  # (R_l,)
            position, output = candidates // n_output, candidates % n_output
            bboxes.append(clip(self.box_coder.decode(delta[position], anchor[position])[:, 0], size))  # (R_l, 4)
            outputs.append(output.astype("int32"))
            kept_scores.append(score[candidates])
        bbox, output, score = xp.concatenate(bboxes), xp.concatenate(outputs), xp.concatenate(kept_scores)
        keep = batched_nms(bbox, score, output, self.nms_thresh)[: self.n_detections]
        return RawDetections(bbox[keep], output[keep], score[keep])
