"""CRC-32 of two pieces of data put together, from those of the pieces: what was read need not be summed up twice."""

import functools

#: The polynomial of zip's CRC-32, reflected: bit 31 stands for x^0.
_POLYNOMIAL = 0xEDB88320


def combine(first: int, second: int, size: int) -> int:
    """Return the CRC-32 of A + B.

    Args:
        first (int): CRC-32 of A.
        second (int): CRC-32 of B.
        size (int): Bytes of B.

    Source:
        CRC(A + B) = CRC(A) x^(8 size) + CRC(B) modulo the polynomial, as in zlib's ``crc32_combine``.

    Example:
        >>> import zlib
        >>> combine(zlib.crc32(b"head"), zlib.crc32(b" and tail"), 9) == zlib.crc32(b"head and tail")
        True
    """
    return _multiply(_power(8 * size), first) ^ second


@functools.lru_cache(maxsize=256)
def _power(n: int) -> int:
    """Return x^n modulo the polynomial."""
    result, square = 1 << 31, 1 << 30
    while n:
        if n & 1:
            result = _multiply(square, result)
        square = _multiply(square, square)
        n >>= 1
    return result


def _multiply(a: int, b: int) -> int:
    """Return the product of two polynomials modulo the polynomial."""
    result = 0
    while a:
        if a & 1 << 31:
            result ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return result
