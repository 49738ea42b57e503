"""Somebody else's needle, as the course has its students write it, behind the Target protocol."""

from verify.targets.course.call import CourseCall, refuses
from verify.targets.course.layers import alike, dropout_of
from verify.targets.course.library import Library, array_of
from verify.targets.course.probe import Found, ask, probe

__all__ = [
    "CourseCall",
    "Found",
    "Library",
    "alike",
    "array_of",
    "ask",
    "dropout_of",
    "probe",
    "refuses",
]
