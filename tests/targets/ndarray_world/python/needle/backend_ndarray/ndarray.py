"""Homework 3: an array with shape, strides and offset over a flat buffer of float32."""

import math

import numpy as np


class BackendDevice:
    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        return self.name + "()"

    def enabled(self):
        return True


def cpu_numpy():
    return BackendDevice("cpu_numpy")


def array(a, dtype="float32", device=None):
    assert dtype == "float32"
    return NDArray(a, device=device)


class NDArray:
    def __init__(self, other, device=None):
        if isinstance(other, NDArray):
            other = other.numpy()
        other = np.asarray(other, dtype="float32")
        self._init(other.shape, None, np.array(other).reshape(-1), 0, device)

    def _init(self, shape, strides, handle, offset, device):
        self._shape = tuple(shape)
        self._strides = tuple(strides) if strides is not None else compact_strides(self._shape)
        self._handle, self._offset, self._device = handle, offset, device or cpu_numpy()

    @staticmethod
    def make(shape, strides=None, handle=None, offset=0, device=None):
        made = NDArray.__new__(NDArray)
        if handle is None:
            handle = np.empty(math.prod(shape), dtype="float32")
        made._init(shape, strides, handle, offset, device)
        return made

    shape = property(lambda self: self._shape)
    strides = property(lambda self: self._strides)
    device = property(lambda self: self._device)
    dtype = property(lambda self: "float32")
    ndim = property(lambda self: len(self._shape))
    size = property(lambda self: math.prod(self._shape))

    def numpy(self):
        steps = tuple(4 * s for s in self._strides)
        return np.lib.stride_tricks.as_strided(self._handle[self._offset :], self._shape, steps)

    def is_compact(self):
        return self._strides == compact_strides(self._shape) and self.size == self._handle.size

    def compact(self):
        return self if self.is_compact() else NDArray(self.numpy(), device=self._device)

    def as_strided(self, shape, strides):
        return NDArray.make(shape, strides, self._handle, self._offset, self._device)

    def reshape(self, shape):
        assert math.prod(shape) == self.size
        flat = self.compact()
        return NDArray.make(shape, None, flat._handle, flat._offset, self._device)

    def permute(self, axes):
        return self.as_strided([self._shape[a] for a in axes], [self._strides[a] for a in axes])

    def broadcast_to(self, shape):
        assert len(shape) == self.ndim
        assert all(m in (n, 1) for m, n in zip(self._shape, shape, strict=True))
        steps = [0 if m == 1 else s for m, s in zip(self._shape, self._strides, strict=True)]
        return self.as_strided(shape, steps)

    def __getitem__(self, index):
        index = index if isinstance(index, tuple) else (index,)
        index = [i if isinstance(i, slice) else slice(i, i + 1, 1) for i in index]
        assert len(index) == self.ndim
        offset, shape, strides = self._offset, [], []
        for part, n, stride in zip(index, self._shape, self._strides, strict=True):
            start, stop, step = part.indices(n)
            assert step > 0, "no steps back"
            offset += start * stride
            shape.append(max(0, math.ceil((stop - start) / step)))
            strides.append(stride * step)
        return NDArray.make(shape, strides, self._handle, offset, self._device)

    def __setitem__(self, index, value):
        view = self[index].numpy()
        view[...] = value.numpy() if isinstance(value, NDArray) else value

    def _ewise(self, function, other=None):
        other = other.numpy() if isinstance(other, NDArray) else other
        if isinstance(other, np.ndarray):
            assert other.shape == self._shape, "no broadcasting"
        elif other is not None:
            other = np.float32(other)
        given = (self.numpy(),) if other is None else (self.numpy(), other)
        return NDArray(function(*given), device=self._device)

    def __add__(self, other):
        return self._ewise(np.add, other)

    def __mul__(self, other):
        return self._ewise(np.multiply, other)

    def __truediv__(self, other):
        return self._ewise(np.divide, other)

    def __pow__(self, other):
        return self._ewise(np.power, other)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __gt__(self, other):
        return self._ewise(np.greater, other)

    def maximum(self, other):
        return self._ewise(np.maximum, other)

    def log(self):
        return self._ewise(np.log)

    def exp(self):
        return self._ewise(np.exp)

    def tanh(self):
        return self._ewise(np.tanh)

    def __matmul__(self, other):
        assert self.ndim == other.ndim == 2
        return NDArray(self.numpy() @ other.numpy(), device=self._device)

    def _reduced(self, function, axis, keepdims):
        if isinstance(axis, (tuple, list)):
            assert len(axis) == 1, "one axis"
            (axis,) = axis
        if axis is None:
            # a defect: read from the start of the buffer, whatever the strides
            flat, n = self._handle[self._offset : self._offset + self.size], self.size
        else:
            order = [a for a in range(self.ndim) if a != axis] + [axis]
            flat, n = self.permute(order).compact()._handle, self._shape[axis]
        found = function(flat.reshape(-1, n), axis=1)
        shape = [1 if axis in (None, a) else m for a, m in enumerate(self._shape)]
        if not keepdims:
            shape = [m for a, m in enumerate(self._shape) if axis is not None and a != axis] or [1]
        return NDArray.make(shape, None, np.ascontiguousarray(found), 0, self._device)

    def sum(self, axis=None, keepdims=False):
        return self._reduced(np.sum, axis, keepdims)

    def max(self, axis=None, keepdims=False):
        return self._reduced(np.max, axis, keepdims)

    def flip(self, axes):
        return NDArray(np.flip(self.numpy(), axes), device=self._device)

    def pad(self, axes):
        return NDArray(np.pad(self.numpy(), axes), device=self._device)

    __radd__, __rmul__ = __add__, __mul__


def compact_strides(shape):
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))
