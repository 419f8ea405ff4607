"""Parts of pages that are written when the site is built, and links that leave docs/.

`<!-- written: commands -->` stands where the commands are described; `<!-- written: FILE -->`
where a file from beside docs/ is a page of the site. In a toctree `NAME?` is a page that need not
be there.
"""

import re
from collections.abc import Callable
from os.path import relpath
from pathlib import Path

from docs.extensions.command_line import commands
from docs.extensions.from_code import file_formats, sidecar_fields
from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
WRITERS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "file formats": file_formats,
    "sidecar fields": sidecar_fields,
}
_MARK = re.compile(r"<!-- written: (.+) -->")
_LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s:#]+)(#[^()\s]*)?\)")


def files_as_pages() -> dict[Path, str]:
    """Files from beside docs/, and the pages that show them."""
    marks = ((page, _MARK.search(page.read_text(encoding="utf-8"))) for page in DOCS.glob("*.md"))
    shown = ((page, mark[1]) for page, mark in marks if mark and mark[1] not in WRITERS)
    return {ROOT / name: page.name for page, name in shown}


def written(text: str) -> str:
    """A page with its parts in place."""
    mark = _MARK.search(text)
    if mark is None:
        return text
    if mark[1] in WRITERS:
        return text.replace(mark[0], WRITERS[mark[1]]())
    return led((ROOT / mark[1]).read_text(encoding="utf-8"), (ROOT / mark[1]).parent)


def led(text: str, folder: Path) -> str:
    """Links of a file in that folder as links of the site: to its pages, else to the files."""
    pages = files_as_pages()

    def link(found: re.Match[str]) -> str:
        words, path, anchor = found[1], (folder / found[2]).resolve(), found[3] or ""
        if words.endswith(path.name) and path.suffix == ".md":
            words = ""  # a page that is called by its file is called by its title
        if path.is_relative_to(DOCS) and path.exists():
            return f"[{words}](/{path.relative_to(DOCS)}{anchor})"
        if path in pages:
            return f"[{words}](/{pages[path]}{anchor})"
        if path.is_file():
            called = words.replace("`", "") or path.name
            return f"{{download}}`{called} <{relpath(path, DOCS)}>`"
        if path.is_dir() and path.is_relative_to(ROOT):
            return f"{words} (`{path.relative_to(ROOT)}/`)"
        return found[0]

    return _LINK.sub(link, text)


def _write(app: Sphinx, page: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(page))
    if path.suffix == ".md":
        source[0] = written(led(source[0], path.parent))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("source-read", _write)
    return {"parallel_read_safe": True}
