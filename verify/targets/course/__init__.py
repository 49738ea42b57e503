"""Somebody else's needle, as the course has its students write it, behind the Target protocol."""

from verify.targets.course.call import CourseCall, refuses_axes
from verify.targets.course.layers import keeps_other_draws
from verify.targets.course.library import Library
from verify.targets.course.probe import Found, ask, probe

__all__ = ["CourseCall", "Found", "Library", "ask", "keeps_other_draws", "probe", "refuses_axes"]
