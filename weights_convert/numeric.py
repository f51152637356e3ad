"""What names alone cannot convert: named numeric steps, each with its reason."""

#: torchvision's COCO files whose models run with batch-norm eps 0 (``overwrite_eps``): starts of their sha256.
ZERO_EPS = ("258fb6c6", "bf2d0c1e", "fc266e95", "9f466800")


def published_eps(report, sha256):
    """Return ``{"norm_eps": 0.0}`` for the files torchvision itself runs so, else nothing; the report says it."""
    if not sha256.startswith(ZERO_EPS):
        return {}
    report.notes.append("batch-norm eps is 0: torchvision runs this published file so")
    return {"norm_eps": 0.0}
