"""Which of its kernels OpenBLAS takes on processors that it does not know yet."""

import pathlib
import re
import sys

from chainfpn.compat.rows import Setting

CPUINFO = pathlib.Path("/proc/cpuinfo")

#: What OpenBLAS's kernels of this name use.
_NEEDED = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def unknown_to_openblas(cpuinfo):
    """Tell whether OpenBLAS takes a processor with AVX-512 for one without.

    Args:
        cpuinfo (str): The text of /proc/cpuinfo.

    Returns:
        bool: Whether it is an AMD Zen 5 or later with all of AVX-512 that the kernels use.
    """
    fields = dict(re.findall(r"^(vendor_id|cpu family|flags)\s*: (.*)$", cpuinfo, re.MULTILINE))
    is_amd = fields.get("vendor_id") == "AuthenticAMD"
    return is_amd and int(fields.get("cpu family", 0)) >= 26 and set(fields.get("flags", "").split()) >= _NEEDED


def _wanted():
    """Tell whether this is such a processor, and OpenBLAS not loaded yet: it looks at the variable only then."""
    return "numpy" not in sys.modules and CPUINFO.exists() and unknown_to_openblas(CPUINFO.read_text())


#: To be enabled before NumPy is imported.
OPENBLAS = (
    Setting(
        "OPENBLAS_CORETYPE",
        since="never known to OpenBLAS 0.3.31: AMD Zen 5 has AVX-512",
        needed_by="numpy: matrix products, twice as fast with it",
        stand_in="SkylakeX unless set, on such a processor, where NumPy is not imported yet",
        value="SkylakeX",
        applies=_wanted,
    ),
)
