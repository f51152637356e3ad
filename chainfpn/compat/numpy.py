"""What Chainer and ChainerCV miss in NumPy 1.24 and later."""

from typing import Any

from chainfpn.compat.shims import Attribute, Module


def _sctypes(np: Any) -> dict[str, list[type]]:
    """Return what ``numpy.sctypes`` was: the scalar types of each kind, smallest first."""
    return {
        "int": [np.int8, np.int16, np.int32, np.int64],
        "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        "float": [np.float16, np.float32, np.float64, np.longdouble],
        "complex": [np.complex64, np.complex128, np.clongdouble],
        "others": [bool, object, bytes, str, np.void],
    }


NUMPY = (
    Attribute(
        "numpy.bool",
        since="NumPy 1.24 (back in 2.0)",
        needed_by="chainercv: datasets, visualizations/vis_point, links/model/fpn/mask_utils, utils/mask",
        stand_in="the builtin bool",
        value=lambda numpy: bool,
    ),
    Attribute(
        "numpy.int",
        since="NumPy 1.24",
        needed_by="chainercv: experimental/links/model/fcis",
        stand_in="the builtin int",
        value=lambda numpy: int,
    ),
    Attribute(
        "numpy.float",
        since="NumPy 1.24",
        needed_by="chainer: functions/array/resize_images",
        stand_in="the builtin float",
        value=lambda numpy: float,
    ),
    Attribute(
        "numpy.sctypes",
        since="NumPy 2.0",
        needed_by="chainer: functions/array/as_strided",
        stand_in="a dict of the scalar types of each kind",
        value=_sctypes,
    ),
    Module(
        "numpy.distutils",
        since="Python 3.12; on 3.10 and 3.11 broken by setuptools 74",
        needed_by="chainer: _environment_check",
        stand_in="an empty package",
        contents=dict,
    ),
    Module(
        "numpy.distutils.system_info",
        since="Python 3.12; on 3.10 and 3.11 broken by setuptools 74",
        needed_by="chainer: _environment_check (macOS only)",
        stand_in="a get_info that knows of no library",
        contents=lambda: {"get_info": lambda name, notfound_action=0: {}},
    ),
)
