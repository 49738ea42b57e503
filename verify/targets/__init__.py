"""The subject: the only package that imports needle. An op is known by its public name."""

from verify.spec import Broken, Missing
from verify.targets.call import Call
from verify.targets.devices import DEVICES, borrowed, device_status, environment, resolve
from verify.targets.named import Named
from verify.targets.protocol import Target

__all__ = [
    "DEVICES",
    "Broken",
    "Call",
    "Missing",
    "Named",
    "Target",
    "borrowed",
    "device_status",
    "environment",
    "resolve",
]
