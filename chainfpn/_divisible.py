"""Numbers of channels that hardware likes."""


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round a number of channels to a multiple, but never down by more than a tenth.

    Args:
        channels (float): The number.
        divisor (int): What the result is a multiple of.

    Returns:
        int: The multiple, at least ``divisor``.

    Source:
        torchvision 0.14 ``_make_divisible``.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
