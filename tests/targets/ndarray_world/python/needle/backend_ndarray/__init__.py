from .ndarray import BackendDevice, NDArray, array, cpu_numpy

__all__ = ["BackendDevice", "NDArray", "array", "cpu_numpy"]
