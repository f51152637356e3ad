"""Run the probes of the shims, each in a process that has every shim but one; a program for ``test_each_shim.py``.

The processes are forked: those that must import Chainer anew from a process that has not, the others from one that has.
It prints a JSON object: the name of each shim to the error without it, None if there was none.
"""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import traceback
import warnings

import numpy as np  # noqa: F401  (for the probes)
import numpy.ma  # noqa: F401  (before a probe takes numpy.bool away)

from chainfpn import compat

#: What a Python of today lacks, and what an older one, or an older NumPy, still has.
GONE = {"pkg_resources", "distutils", "distutils.util", "numpy.distutils", "numpy.distutils.system_info"}

#: Shim to code that fails without it: those that must be on before Chainer is imported ...
AT_IMPORT = {
    **dict.fromkeys(GONE - {"distutils", "distutils.util"}, "import chainer"),
    **dict.fromkeys(["distutils", "distutils.util", "chainercv"], "import chainercv"),
    "numpy.sctypes": "import chainer",
    "numpy.float": "import chainer.functions as F; F.resize_images(np.ones((1, 1, 2, 2), 'f'), (4, 4))",
    "numpy.bool": """
vars(np).pop("bool", None)  # NumPy 2 has it
from chainercv.datasets.voc.voc_utils import image_wise_to_instance_wise
mask, label = image_wise_to_instance_wise(np.ones((4, 4), 'i'), np.ones((4, 4), 'i'))
assert mask.dtype == bool""",
    "numpy.int": """
from chainercv.experimental.links.model.fcis import ProposalTargetCreator
bbox = np.array([[0, 0, 9, 9]], 'f')
ProposalTargetCreator()(bbox, np.ones((1, 20, 20), bool), np.array([0], 'i'), bbox)""",
    "onnx.mapping": "import onnx_chainer.functions",
    "chainercv.utils.bbox._nms_gpu_post": "import chainercv.utils.bbox._nms_gpu_post",
    "chainer.links.caffe.protobuf3.caffe_pb2": """
from chainer.links.caffe.caffe_function import caffe_pb
network = caffe_pb.NetParameter(name='a network')
assert caffe_pb.NetParameter.FromString(network.SerializeToString()) == network""",
    "caffe_pb2": """
import chainer, pathlib, shutil
shutil.copy(pathlib.Path(chainer.__file__).parent / 'links/caffe/protobuf3/caffe_pb2.py', FOLDER)
import caffe_pb2
assert caffe_pb2.PoolingParameter(kernel_size=3).pool == caffe_pb2.PoolingParameter.MAX""",
    "Overriding method": "warnings.simplefilter('error'); import chainercv",
    "CHAINER_WARN_VERSION_MISMATCH": """
import pathlib
(pathlib.Path(FOLDER) / 'cupy-99.0.dist-info').mkdir()
(pathlib.Path(FOLDER) / 'cupy-99.0.dist-info' / 'METADATA').write_text('Name: cupy\\nVersion: 99.0\\n')
warnings.simplefilter('error'); import chainer""",
    "CHAINER_CUDNN": """
import pathlib
(pathlib.Path(FOLDER) / 'cupy').mkdir(); (pathlib.Path(FOLDER) / 'cupy' / '__init__.py').touch()
import cupy
assert os.environ['CHAINER_CUDNN'] == '0'  # Chainer reads it when it finds no cuDNN""",
    **{
        f"chainermn.communicators._memory_utility:_cupy_batched_{what}_params": f"""
import pathlib
(pathlib.Path(FOLDER) / 'cupy').mkdir(); (pathlib.Path(FOLDER) / 'cupy' / '__init__.py').touch()
import chainer
from chainermn.communicators import _memory_utility
chainer.cuda.raw = lambda code, *names: code
assert '#include <cuda_fp16.h>' in _memory_utility._cupy_batched_{what}_params()"""
        for what in ("pack", "unpack")
    },
}

#: ... and those that act on what is imported.
PADDING = "x = [np.zeros(n, 'u1') for n in (1, 2)]; "
HEADS = """
from chainercv.links.model.fpn import bbox_head, mask_head
rois, i, bbox = [np.array([[0, 0, 9, 9]], 'f')], [np.array([0], 'i')], [np.array([[0, 0, 9, 8]], 'f')]
"""
AFTERWARDS = {
    "chainer.dataset.convert:_concat_arrays_with_padding": PADDING
    + "assert chainer.dataset.concat_examples(x, padding=-1).tolist() == [[0, 255], [0, 0]]",
    "chainer.functions.array.pad_sequence:PadSequence.forward": PADDING
    + "assert chainer.functions.pad_sequence(x, padding=-1).array.tolist() == [[0, 255], [0, 0]]",
    "chainer.distributions.categorical:Categorical.log_prob": """
p = np.array([[[0.25, 0.75], [0.5, 0.5]]], 'f')
log_p = chainer.distributions.Categorical(p=p).log_prob(np.array([[1, 0]]))
np.testing.assert_allclose(np.exp(log_p.array), [[0.75, 0.5]])""",
    "chainer.functions.math.sparse_matmul:_coo_matmul_cpu": """
a = np.array([[1, 0], [0, 2]], 'e')
c = chainer.functions.sparse_matmul(chainer.utils.to_coo(a), a)
assert (c.dtype, c.array.tolist()) == (a.dtype, [[1, 0], [0, 4]])""",
    "chainer.functions.math.fix:fix": "assert chainer.functions.fix(np.array([-1.5, 2.5])).array.tolist() == [-1, 2]",
    "chainer.links.activation.maxout:Maxout.__init__": """
def initialW(array): array[...] = np.arange(12).reshape(2, 2, 3)
def initial_bias(array): array[...] = [[1, 2], [3, 4]]
maxout = chainer.links.Maxout(3, 2, 2, initialW, initial_bias)
assert (maxout.linear.W.array[3, 2], maxout.linear.b.array[2]) == (11, 3)
""",
    "chainer.variable:Variable.debug_print": "assert 'device: CPU' in chainer.Variable(np.ones(1)).debug_print()",
    "chainer.serializers.hdf5:HDF5Deserializer.__call__": """
import h5py
with h5py.File(os.path.join(FOLDER, 'strings.h5'), 'w') as file:
    file['key'] = 'text'
    deserialize = chainer.serializers.HDF5Deserializer(file)
    assert (deserialize('key', ''), deserialize('key', None).item()) == ('text', 'text')""",
    "chainermn.iterators.multi_node_iterator:_MultiNodeIteratorSlave.__init__": """
from chainermn.iterators.multi_node_iterator import _MultiNodeIteratorSlave
class Communicator:
    def bcast(self, data, root): return np.array([3], 'f')
assert _MultiNodeIteratorSlave(Communicator(), 0).dataset_size == 3""",
    "chainercv.links.model.fpn.bbox_head:bbox_head_loss_pre": HEADS
    + "assert bbox_head.bbox_head_loss_pre(rois, i, (0.1, 0.2), bbox, [np.array([1], 'i')])[3][0].tolist() == [2]",
    "chainercv.links.model.fpn.mask_head:mask_head_loss_pre": HEADS
    + "mask = [np.ones((1, 9, 9), bool)]\n"
    + "assert mask_head.mask_head_loss_pre(rois, i, mask, bbox, [np.array([2], 'i')], 28)[2][0].shape == (1, 28, 28)",
}


def hide_what_is_gone():
    """Make this Python lack what some Python or NumPy lacks."""
    find_spec = importlib.machinery.PathFinder.find_spec
    sys.meta_path[:] = [finder for finder in sys.meta_path if "distutils" not in type(finder).__module__]
    importlib.machinery.PathFinder.find_spec = lambda name, *rest: None if name in GONE else find_spec(name, *rest)
    for name in GONE:
        sys.modules.pop(name, None)
    for shim in compat.TABLE:
        os.environ.pop(shim.name, None)  # whoever started this process may have its settings


def without_metadata(name):
    """Make this Python have a package as a folder alone."""
    version = importlib.metadata.version

    def find(other):
        if other == name:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(other)

    importlib.metadata.version = find


def error_of(code):
    """Run code in a forked process; return its error in a line, or None."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with tempfile.TemporaryDirectory() as folder:
                error = ""
                sys.path.insert(0, folder)
                try:
                    exec(code, globals() | {"FOLDER": folder})
                except BaseException as exception:
                    error = "".join(traceback.format_exception_only(exception)).strip()
                os.write(send, error.encode()[:1000])
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    with open(receive, "rb") as file:
        error = file.read().decode()
    _, status = os.waitpid(pid, 0)
    assert status == 0, code
    return error or None


def leave_out(name):
    """Have every shim take effect but one."""
    compat.TABLE = tuple(shim for shim in compat.TABLE if shim.name != name)


def enable_patches_but(name):
    """Patch everything but one function of a Chainer that was imported unpatched."""
    for shim in PATCHES:
        if shim.name != name:
            shim.enable()


if __name__ == "__main__":
    hide_what_is_gone()
    warnings.simplefilter("error", DeprecationWarning)
    prepare = "if {name!r} == 'chainercv': without_metadata('chainercv')\nleave_out({name!r})\n"
    errors = {name: error_of(prepare.format(name=name) + code) for name, code in AT_IMPORT.items()}
    with_all = {code: error_of(code) for code in {*AT_IMPORT.values()}}
    every = {name: with_all[code] for name, code in AT_IMPORT.items()}

    PATCHES = [shim for shim in compat.TABLE if isinstance(shim, compat.Patch)]
    compat.TABLE = tuple(shim for shim in compat.TABLE if shim not in PATCHES)
    import chainer  # noqa: F401
    import chainercv  # noqa: F401
    import chainermn.iterators  # noqa: F401

    errors |= {name: error_of(f"enable_patches_but({name!r})\n{code}") for name, code in AFTERWARDS.items()}
    every |= {name: error_of(f"enable_patches_but(None)\n{code}") for name, code in AFTERWARDS.items()}
    print(json.dumps({"without": errors, "with": every}))
