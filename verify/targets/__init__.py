"""The subject: the only package that imports needle. An op is known by its public name."""

from verify.targets.call import Broken, Call
from verify.targets.devices import DEVICES, Missing, device_status, environment, resolve

__all__ = ["DEVICES", "Broken", "Call", "Missing", "device_status", "environment", "resolve"]
