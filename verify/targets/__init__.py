"""The subject: the only package that imports what is verified. An op is known by its public name.

Ours by default; `course/` has somebody else's needle, `subject` says which one a process judges.
"""

from verify.spec import Broken, Missing
from verify.targets.call import Call
from verify.targets.course import (
    CourseCall,
    Found,
    Library,
    alike,
    array_of,
    ask,
    dropout_of,
    probe,
    refuses,
)
from verify.targets.devices import DEVICES, borrowed, resolve
from verify.targets.draws import DrawCall
from verify.targets.elementwise import unary
from verify.targets.named import Named
from verify.targets.protocol import Target
from verify.targets.source import source
from verify.targets.subject import (
    computed_dtypes,
    device_status,
    environment,
    foreign,
    rounds_factors,
    use,
)
from verify.targets.training import Trainer

__all__ = [
    "DEVICES",
    "Broken",
    "Call",
    "CourseCall",
    "DrawCall",
    "Found",
    "Library",
    "Missing",
    "Named",
    "Target",
    "Trainer",
    "alike",
    "array_of",
    "ask",
    "borrowed",
    "computed_dtypes",
    "device_status",
    "dropout_of",
    "environment",
    "foreign",
    "probe",
    "refuses",
    "resolve",
    "rounds_factors",
    "source",
    "unary",
    "use",
]
