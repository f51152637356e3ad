"""What the user asks for beside the file."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from chainfpn.models.registry import MODELS
from weights_convert._typing import Json, PathLike
from weights_convert.errors import CheckpointError

#: The name under which a model that nobody knows is converted parameter by parameter.
ANY_MODEL = "any"


@dataclass(frozen=True)
class Options:
    """The options of `weights_convert.convert_arrays`, checked.

    Raises:
        CheckpointError: if `model`, `dtype` or a pair of `rename` is none.
    """

    model: str | None = None
    meta: Json = field(default_factory=dict)
    drop: Iterable[str] = ()
    allow_missing: Iterable[str] = ()
    only: str | None = None
    rename: Iterable[str] = ()
    dtype: str | None = None
    entry: str | None = None
    config: PathLike | None = None
    pairs: list[tuple[str, str]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.model not in (None, ANY_MODEL, *MODELS):
            near = "".join(f", such as {name}" for name in get_close_matches(str(self.model), MODELS, 1))
            raise CheckpointError(f"--model must be any or a builder of chainfpn.models{near}, got {self.model!r}")
        if self.dtype not in (None, "float16", "float32"):
            raise CheckpointError(f"convert: dtype must be float16 or float32, got {self.dtype!r}")
        for pair in self.rename:
            old, equals, new = pair.partition("=")
            if not equals:
                raise CheckpointError(f"--rename takes FROM=TO, got {pair!r}")
            self.pairs.append((old, new))
