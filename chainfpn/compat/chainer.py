"""What in Chainer and ChainerMN is there and broken: functions whose own source does something else by now."""

from chainfpn.compat.shims import Patch, WarningFilter

_DECODE = """\
        if h5py.check_string_dtype(dataset.dtype) and dataset.dtype.kind == 'O':
            dataset = dataset.asstr()[()]
"""

_FLOAT32 = "    A_data, B = (x.astype(numpy.promote_types(x.dtype, 'f'), copy=False) for x in (A_data, B))\n"

CHAINER = (
    Patch(
        "chainer.dataset.convert:_concat_arrays_with_padding",
        since="NumPy 2.0",
        needed_by="chainer: dataset.concat_examples with padding",
        stand_in="a negative padding of unsigned arrays wraps around, as it did; out= by its name",
        replace={
            "full(shape, padding, ": "full(shape, numpy.asarray(padding).astype(arrays[0].dtype)[()], ",
            "maximum(shape, array.shape, shape)": "maximum(shape, array.shape, out=shape)",
        },
    ),
    Patch(
        "chainer.functions.array.pad_sequence:PadSequence.forward",
        since="NumPy 1.24",
        needed_by="chainer: functions.pad_sequence with a negative padding of unsigned arrays",
        stand_in="the padding wraps around, as it did",
        replace={"= self.padding": "= numpy.asarray(self.padding).astype(y.dtype)[()]"},
    ),
    Patch(
        "chainer.distributions.categorical:Categorical.log_prob",
        since="NumPy 2.0",
        needed_by="chainer: distributions.Categorical.log_prob",
        stand_in="a list of what numpy.meshgrid now returns as a tuple",
        replace={"[mg + [": "[list(mg) + ["},
    ),
    Patch(
        "chainer.functions.math.sparse_matmul:_coo_matmul_cpu",
        since="SciPy 1.15",
        needed_by="chainer: functions.sparse_matmul of float16",
        stand_in="float32, to which SciPy does not turn float16 any more",
        replace={"    _m, _k = A_shape": _FLOAT32 + "    _m, _k = A_shape"},
    ),
    Patch(
        "chainer.functions.math.fix:fix",
        since="NumPy 2.5",
        needed_by="chainer: functions.fix, functions.fmod",
        stand_in="numpy.trunc, which numpy.fix is deprecated for",
        replace={"xp.fix(x)": "xp.trunc(x)"},
    ),
    Patch(
        "chainer.links.activation.maxout:Maxout.__init__",
        since="NumPy 2.5",
        needed_by="chainer: links.Maxout with a function as initializer",
        stand_in="views of another shape, where a shape is set",
        replace={
            "array.shape = (out_size, pool_size, in_size)": "array = array.reshape(out_size, pool_size, in_size)",
            "array.shape = (out_size, pool_size)": "array = array.reshape(out_size, pool_size)",
            "                array.shape = (linear_out_size, in_size)\n": "",
            "                array.shape = linear_out_size,\n": "",
        },
    ),
    Patch(
        "chainer.variable:Variable.debug_print",
        since="NumPy 2.0",
        needed_by="chainer: Variable.debug_print",
        stand_in="CPU for NumPy's arrays, which have a device of their own now",
        replace={"getattr(array, 'device', 'CPU')": "'CPU' if xp is numpy else array.device"},
    ),
    Patch(
        "chainer.serializers.hdf5:HDF5Deserializer.__call__",
        since="h5py 3.0",
        needed_by="chainer: serializers.load_hdf5 of strings",
        stand_in="strings, which h5py now returns as bytes",
        replace={"        if value is None:": _DECODE + "        if value is None:"},
    ),
    Patch(
        "chainermn.iterators.multi_node_iterator:_MultiNodeIteratorSlave.__init__",
        since="NumPy 1.25",
        needed_by="chainermn: iterators.create_multi_node_iterator",
        stand_in="the one item of an array, which is no number any more",
        replace={"int(_size)": "int(_size.item())"},
    ),
    *(
        WarningFilter(
            message,
            since=since,
            needed_by="chainer, chainermn, chainercv, onnx_chainer: where Python has no bytecode of them",
            category=Warning,  # a DeprecationWarning, and a SyntaxWarning from Python 3.12
            module=r".*\b(chainer|chainermn|chainercv|onnx_chainer)[/\\]",
        )
        for message, since in ((".*invalid escape sequence", "Python 3.6"), ('"is" with', "Python 3.8"))
    ),
)
