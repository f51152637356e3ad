"""Find the state dict in whatever was saved: a bare one, a wrapped one, a whole module, a trainer's checkpoint."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weights_convert._typing import Tensors
from weights_convert.errors import CheckpointError
from weights_convert.read.contents import Contents
from weights_convert.read.numpy_pickle import NumpyArray
from weights_convert.read.placeholders import Record, first_refused
from weights_convert.read.tensor import Tensor, Unsupported

#: Where trainers keep the weights, the averaged ones first: those are the ones whose figures get published.
ENTRIES = (
    "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema", "state_dict", "model_state_dict",
    "model_state", "model", "net", "network", "teacher", "weights", "params", "module",
)  # fmt: skip

#: Where trainers keep tensors that are no weights.
_NO_WEIGHTS = ("optim", "scheduler", "scaler", "rng", "callbacks", "hyper", "loops", "ema_optim")

_MAX_WRAPS = 6
#: Lists that are longer hold no state dicts; and no more state dicts of a file are tried than this.
_MAX_ITEMS = 64
_MAX_ENTRIES = 16
_MAX_NAME = 1000
_MAX_MODULES = 20_000


@dataclass
class StateDict:
    """A flat state dict out of a checkpoint.

    Attributes:
        tensors (dict): ``{name: Tensor or Unsupported}``, names as in the file.
        entry (str): Where it was, such as ``"model_ema/module"``; empty for a bare one.
        others (list of str): What else the file holds, by name.
        not_tensors (list of str): Names in the state dict that are no tensors.
        left_out (list of str): What else the file holds that would be refused in a state dict.
    """

    tensors: Tensors
    entry: str = ""
    others: list[str] = field(default_factory=list)
    not_tensors: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, key: Any, tensor: Tensor | Unsupported) -> None:
        """Put a tensor under a name that no other has."""
        name = str(key)
        if not name.isprintable() or not 0 < len(name) <= _MAX_NAME:
            raise CheckpointError(f"has a tensor named {name[:40]!a}, which no model has")
        if name in self.tensors:
            raise CheckpointError(f"has two tensors named {name[:40]}")
        tensor = copy.copy(tensor)  # tied tensors are one object
        tensor.source_name = name
        self.tensors[name] = tensor


def find_state_dict(contents: Contents, entry: str | None = None) -> StateDict:
    """Return the `StateDict` in what was saved.

    Args:
        contents (Contents): From `weights_convert.read.contents.open_checkpoint`.
        entry (str or None): Where to look, ``/`` between the keys; ``None`` finds it.

    Raises:
        CheckpointError: if there is none, or more than one and `entry` does not say which; or if it holds what would be
            executed, which beside it is left out.
    """
    try:
        state, value, others = _find(contents.tree, entry)
    except CheckpointError as error:
        raise (CheckpointError(contents.refused) if contents.refused else error) from error
    if contents.refused and (inside := first_refused(value, set())) is not None:
        raise CheckpointError(inside.refused)
    seen = set[int]()  # of one thing under two names, the first name is told
    for key, item in others.items() if contents.refused else ():
        if (refused := first_refused(item, seen)) is not None:
            state.left_out.append(f"{key} (names {refused.cls if isinstance(refused, Record) else refused})")
    return state


def candidate_entries(contents: Contents) -> list[str]:
    """Return where in a file there are state dicts, those first that are the likeliest to be meant.

    Args:
        contents (Contents): The file.

    Returns:
        list of str: As `find_state_dict` takes them, at most a few; empty if there are none.
    """
    found: list[tuple[tuple[int, int, int], str]] = []
    level, seen = [("", contents.tree)], set[int]()
    for depth in range(_MAX_WRAPS):
        following = []
        for path, value in level:
            items = None if id(value) in seen else _mapping(value)
            seen.add(id(value))
            if items is None or any(word in path for word in _NO_WEIGHTS):
                continue
            n_tensors = sum(_tensor(item) is not None for item in items.values())
            if n_tensors > 1 or _is_module(value):
                ranks = [ENTRIES.index(key) for key in path.split("/") if key in ENTRIES]
                found.append(((min(ranks, default=len(ENTRIES)), depth, -n_tensors), path))
            following += [(f"{path}/{key}".lstrip("/"), item) for key, item in items.items() if not _is_module(value)]
        level = following
    return [path for _, path in sorted(found)[:_MAX_ENTRIES]]


def _find(tree: Any, entry: str | None) -> tuple[StateDict, Any, dict[str, Any]]:
    """Return the state dict, what it was made of, and what else there is."""
    path: list[str] = []
    others: dict[str, Any] = {}
    wanted = entry.split("/") if entry else None
    for depth in range(_MAX_WRAPS if wanted is None else len(wanted)):
        key = _wrapper(tree) if wanted is None else wanted[depth]
        if key is None:
            break
        items = {str(k): item for k, item in (_mapping(tree) or {}).items()}
        if str(key) not in items:
            known = ", ".join(list(items)[:12]) or "nothing"
            raise CheckpointError(f"has no entry {entry!r}; at {key!r} there is {known}")
        others |= {k: item for k, item in items.items() if k != str(key)}
        tree = items[str(key)]
        path.append(str(key))
    return _flatten(tree, StateDict({}, "/".join(path), list(others))), tree, others


def _mapping(value: Any) -> Mapping[Any, Any] | None:
    """Return the items of something that holds named things, or ``None``."""
    if isinstance(value, Record):
        return value.entries or value.attributes()
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
        return dict(enumerate(value))
    return value if isinstance(value, dict) else None


def _tensor(value: Any) -> Tensor | Unsupported | None:
    value = value.value if isinstance(value, NumpyArray) else value
    return value if isinstance(value, (Tensor, Unsupported)) else None


def _holds_tensors(value: Any, seen: set[int]) -> bool:
    """Return whether there are tensors under names in a value, but for what was ``seen``; five mappings deep."""
    level = [value]
    for _ in range(5):
        unseen = {id(item): item for item in level if id(item) not in seen}
        seen |= unseen.keys()
        mappings = [items for item in unseen.values() if (items := _mapping(item)) is not None]
        level = [item for items in mappings for item in items.values()]
        if any(_tensor(item) is not None for item in level):
            return True
    return False


def _is_module(value: Any) -> bool:
    return isinstance(value, Record) and "_modules" in value.attributes() and "_parameters" in value.attributes()


def _wrapper(tree: Any) -> Any:
    """Return the key that leads on to the state dict, or ``None`` where it is here, or nowhere."""
    if _is_module(tree):
        return None
    items = _mapping(tree)
    if items is None:
        raise CheckpointError(f"holds a {type(tree).__name__} where a state dict belongs")
    if {"state", "param_groups"} <= items.keys():
        raise CheckpointError("holds the state of an optimizer (param_groups) and no weights")
    for key in ENTRIES:
        if key in items and _holds_tensors(items[key], set()):
            return key
    if any(_tensor(item) is not None for item in items.values()):
        return None
    seen = set[int]()  # of one thing under two names, the first name does
    plain = [key for key, item in items.items() if not isinstance(item, (list, tuple))]
    holders = [key for key in plain if _holds_tensors(items[key], seen)]
    holders = holders or [key for key in items.keys() - plain if _holds_tensors(items[key], seen)]
    if len(holders) < 2:
        return holders[0] if holders else None
    raise CheckpointError(f"holds several sets of tensors ({', '.join(map(str, holders[:8]))}); say which with --entry")


def _flatten(tree: Any, state: StateDict) -> StateDict:
    if _is_module(tree):
        _walk_module(tree, state)
    else:
        for key, value in (_mapping(tree) or {}).items():
            tensor = _tensor(value)
            if tensor is None:
                state.not_tensors.append(str(key))
            else:
                state.add(key, tensor)
    if not state.tensors:
        raise CheckpointError("is well-formed but holds no tensors with names")
    return state


def _walk_module(root: Record, state: StateDict) -> None:
    """Name tensors as ``state_dict()`` does: a module in two places has its tensors under two names."""
    pending, n_modules = [("", root, frozenset({id(root)}))], 0
    while pending:
        prefix, module, around = pending.pop()
        n_modules += 1
        if n_modules > _MAX_MODULES:
            raise CheckpointError(f"has more than {_MAX_MODULES} modules, shared ones counted wherever they are")
        attributes = module.attributes()
        skipped = attributes.get("_non_persistent_buffers_set")
        skipped = skipped if isinstance(skipped, set) else ()
        for kind in ("_parameters", "_buffers"):
            for key, value in (_mapping(attributes.get(kind)) or {}).items():
                tensor = None if key in skipped else _tensor(value)
                if tensor is not None:
                    state.add(f"{prefix}{key}", tensor)
        children = (_mapping(attributes.get("_modules")) or {}).items()
        inside = [(f"{prefix}{k}.", m, around | {id(m)}) for k, m in children if _is_module(m) and id(m) not in around]
        pending += reversed(inside)
