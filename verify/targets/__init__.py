"""The subject: the only package that imports needle. An op is known by its public name."""

from verify.spec import Broken, Missing
from verify.targets.call import Call
from verify.targets.devices import DEVICES, borrowed, device_status, environment, resolve
from verify.targets.draws import DrawCall
from verify.targets.elementwise import unary
from verify.targets.named import Named
from verify.targets.protocol import Target
from verify.targets.source import source
from verify.targets.training import Trainer

__all__ = [
    "DEVICES",
    "Broken",
    "Call",
    "DrawCall",
    "Missing",
    "Named",
    "Target",
    "Trainer",
    "borrowed",
    "device_status",
    "environment",
    "resolve",
    "source",
    "unary",
]
