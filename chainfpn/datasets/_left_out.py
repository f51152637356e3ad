"""What is left out of data: sentences about it, and how much by reason."""

from collections import Counter
from collections.abc import Iterable


class Omission(str):
    """A sentence about something that was left out, which knows the reason.

    Args:
        sentence (str): Begins with the name of the file; that it was left out is added.
        reason (str): What such things are called, in the plural: ``'boxes without an area'``.

    Attributes:
        reason (str): As above.
    """

    reason: str

    def __new__(cls, sentence: str, reason: str) -> "Omission":
        """Make the sentence."""
        self = super().__new__(cls, f"{sentence}: left out")
        self.reason = reason
        return self

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]
        return self.removesuffix(": left out"), self.reason


class LeftOut:
    """What is left out of a data set.

    Args:
        parts (iterable of LeftOut): What it consists of so far.

    Attributes:
        counts (collections.Counter): How much, by reason; also what was not asked for, such as crowds.
        omissions (list of Omission): A sentence about everything that is wrong, and so left out.
    """

    def __init__(self, parts: Iterable["LeftOut"] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.omissions: list[Omission] = []
        for part in parts:
            self.extend(part)

    def extend(self, other: "LeftOut") -> None:
        """Add what another has.

        Args:
            other (LeftOut): It stays as it is.
        """
        self.counts += other.counts
        self.omissions += other.omissions

    def add(self, omission: Omission) -> None:
        """Add something that is wrong.

        Args:
            omission (Omission): The sentence about it.
        """
        self.omissions.append(omission)
        self.counts[omission.reason] += 1

    def note(self, sentence: str, reason: str) -> None:
        """Add an :class:`Omission` of these arguments."""
        self.add(Omission(sentence, reason))
