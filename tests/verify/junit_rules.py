"""What readers of JUnit XML (Jenkins, GitLab) take: elements, attributes, counts that add up."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

SUITE = {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"}
KINDS = {"failure": "failures", "error": "errors", "skipped": "skipped"}
ELEMENTS = {  # element -> attributes it needs, attributes it may have, elements inside
    "testsuites": (set(), set(), {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, SUITE, {"properties", "testcase"}),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, {"name", "value"}, set()),
    "testcase": ({"name"}, {"name", "classname", "time"}, set(KINDS)),
    **{kind: (set(), {"message", "type"}, set()) for kind in KINDS},
}


def require_junit(text: str) -> None:
    """The rules of the format that Jenkins publishes as junit-10.xsd."""
    root = ET.fromstring(text.encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        needs, may, inside = ELEMENTS[element.tag]
        assert needs <= set(element.attrib) <= needs | may, element.attrib
        assert {child.tag for child in element} <= inside
        assert re.fullmatch(r"\d*(\.\d*)?", element.get("time", "0"))
    for suite in root:
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for kind, counted in KINDS.items():
            assert int(suite.attrib[counted]) == sum(case.find(kind) is not None for case in cases)
