"""What the user leaves out and renames: by the names in the file, before the model is looked for, or by the model's."""

from fnmatch import fnmatchcase

from weights_convert import param_names
from weights_convert._typing import Tensors
from weights_convert.errors import CheckpointError
from weights_convert.options import Options
from weights_convert.report import Report
from weights_convert.rules import rename_each


class Selection:
    """``--drop``, ``--rename`` and ``--only`` of one conversion.

    A glob and a prefix are used on the first names that they match anything of: those in the file, in torch's or
    Chainer's spelling, those without the prefixes of wrappers, or those of the .npz.

    Attributes:
        globs (list of str): Those of ``--drop`` that have matched nothing yet.
        pairs (list of (str, str)): Those of ``--rename`` that have matched nothing yet.
    """

    def __init__(self, options: Options, report: Report) -> None:
        self._options, self._report = options, report
        self.globs, self.pairs = list(options.drop), list(options.pairs)

    @property
    def has_dropped(self) -> bool:
        """Whether anything was left out."""
        return len(self.globs) < len(list(self._options.drop))

    def edit(self, tensors: Tensors) -> Tensors:
        """Leave out and rename tensors by the names in the file.

        Args:
            tensors (dict): ``{name: tensor}``.

        Returns:
            dict: The rest, under new names.

        Raises:
            CheckpointError: if two tensors end up under one name.
        """
        if not (self.globs or self.pairs):
            return tensors
        spelled = npz_names(tensors)
        used: set[object] = set()

        def new_name(name: str) -> str | None:
            glob = self._glob(name, spelled[name])
            if glob is not None:
                used.add(glob)
                self._report.dropped[spelled[name]] = f"--drop {glob}"
                return None
            pair = next((pair for pair in self.pairs if _dotted(name).startswith(_dotted(pair[0]))), None)
            if pair is None:
                return name
            used.add(pair)
            return pair[1].replace("/", "/" if "/" in name else ".") + name[len(pair[0]) :]

        result = rename_each(tensors, new_name)
        for name, tensor in result.items():
            if tensors.get(name) is not tensor:
                tensor.source_name = name
        self._forget(used)
        return result

    def select(self, tensors: Tensors, new_names: dict[str, str]) -> tuple[Tensors, dict[str, str]]:
        """Leave out and rename tensors by the names of the .npz.

        Args:
            tensors (dict): ``{torchvision's name: tensor}``.
            new_names (dict): ``{torchvision's name: npz name}``.

        Returns:
            tuple: ``({npz name: tensor}, {npz name: torchvision's name})`` of what the user wants.

        Raises:
            CheckpointError: if two tensors end up under one name, or nothing is left.
        """
        only, used = self._options.only, set[object]()

        def new_name(source: str) -> str | None:
            name = new_names[source]
            glob = self._glob(name)
            new, pair = renamed(name, self.pairs)
            used.update({glob, pair})
            if glob is not None:
                self._report.dropped[name] = f"--drop {glob}"
            elif only is not None and not name.startswith(only):
                self._report.dropped[name] = f"not under --only {only}"
            else:
                return new
            return None

        origin = rename_each({source: source for source in new_names}, new_name)
        self._forget(used)
        if only is not None and not any(name.startswith(only) for name in new_names.values()):
            raise CheckpointError(f"--only {only}: nothing begins so")
        if not origin:
            raise CheckpointError("nothing is left to convert")
        return {name: tensors[source] for name, source in origin.items()}, origin

    def require_use(self, absent: list[str]) -> None:
        """Raise a CheckpointError that names the first option that matched nothing, nor a name that is ``absent``."""
        for glob in self.globs:
            if not any(fnmatchcase(name, glob) for name in absent):
                raise CheckpointError(f"--drop {glob}: nothing is called so")
        for old, new in self.pairs:
            raise CheckpointError(f"--rename {old}={new}: nothing begins so")

    def _glob(self, *names: str) -> str | None:
        return next((glob for glob in self.globs if any(fnmatchcase(name, glob) for name in names)), None)

    def _forget(self, used: set[object]) -> None:
        self.globs = [glob for glob in self.globs if glob not in used]
        self.pairs = [pair for pair in self.pairs if pair not in used]


def renamed(name: str, pairs: list[tuple[str, str]]) -> tuple[str, tuple[str, str] | None]:
    """Return an .npz name as the pairs of ``--rename`` make it, and the one that did."""
    pair = next((pair for pair in pairs if name.startswith(pair[0])), None)
    return (name, None) if pair is None else (pair[1] + name.removeprefix(pair[0]), pair)


def npz_names(tensors: Tensors) -> dict[str, str]:
    """Return ``{name: npz name}``."""
    return param_names.to_chainer({name: len(tensor.shape) for name, tensor in tensors.items()})


def _dotted(name: str) -> str:
    return name.replace("/", ".")
