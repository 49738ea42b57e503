"""Every link of a built site that stays on it leads to a file, and to a place in that file.

python docs/site/links.py build/site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page and the places that links may lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every tag."""
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken(site: Path) -> list[str]:
    """Links that lead nowhere, each with its page."""
    pages = {path.resolve(): Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            place = unquote(to.fragment)
            known = pages.get(target)
            lost = known is not None and place and place not in known.places
            if not target.exists() or lost:
                found.append(f"{path.relative_to(site.resolve())}: {link}")
    return found


def main() -> int:
    """1 if a link is broken."""
    site = Path(sys.argv[1])
    pages = len(list(site.rglob("*.html")))
    lines = broken(site)
    sys.stdout.write("\n".join([*lines, f"{len(lines)} broken links on {pages} pages"]) + "\n")
    return bool(lines) or not pages


if __name__ == "__main__":
    sys.exit(main())
