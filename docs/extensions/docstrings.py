"""How docstrings of this package become pages: their habits, in the words of reStructuredText.

Names in backticks lead to what they name, where that has a place on a page; one that begins with
`arssr.` must exist. What `name: meaning` says of parameters becomes a list. A public name without
a docstring is a warning, which fails a strict build.
"""

import inspect
import re
from types import ModuleType
from typing import Any

from docutils.nodes import Node, literal, system_message
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.environment import BuildEnvironment
from sphinx.ext.autosummary import import_by_name
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

_log = logging.getLogger(__name__)
_NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_NAMED = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*): (.*)")


def listed(lines: list[str]) -> list[str]:
    """What `name: meaning` says at the end of a paragraph, as a definition list.

    >>> listed(["A result.", "scale, like: of it or", "    of another"])
    ['A result.', '', '``scale``, ``like``', '    of it or', '    of another']
    """
    made: list[str] = []
    for paragraph in _paragraphs(lines):
        prose = len(paragraph)
        while prose and _is_of_list(paragraph[prose - 1]):
            prose -= 1
        if prose == len(paragraph) or paragraph[prose].startswith(" "):
            made += paragraph
            continue
        made += paragraph[:prose]
        if prose:
            made.append("")
        for line in paragraph[prose:]:
            found = _NAMED.match(line)
            if found is None:
                made.append(line)
            else:
                names = ", ".join(f"``{name}``" for name in found[1].split(", "))
                made += [names, f"    {found[2]}"]
    return made


def _is_of_list(line: str) -> bool:
    return line.startswith(" ") or _NAMED.match(line) is not None


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Lines that belong together, and those between, which are empty."""
    found: list[list[str]] = [[]]
    for line in lines:
        if not line.strip():
            found += [[line], []]
        else:
            found[-1].append(line)
    return [paragraph for paragraph in found if paragraph]


def _mend(_: Sphinx, __: str, name: str, documented: Any, ___: Any, lines: list[str]) -> None:
    if inspect.ismodule(documented) or inspect.isclass(documented):
        for silent in without_docstring(documented):
            _log.warning("%s.%s has no docstring", name, silent)
    lines[:] = listed(lines)


def without_docstring(place: ModuleType | type) -> list[str]:
    """Public classes, functions, methods and properties of a module or class that say nothing.

    A method that overrides another may leave that to it.
    """
    home = place.__name__ if inspect.ismodule(place) else place.__module__
    return [
        name
        for name in vars(place)
        if not name.startswith("_")
        and not inspect.getdoc(member := getattr(place, name))
        and (inspect.isroutine(member) or inspect.isclass(member) or isinstance(member, property))
        and getattr(member, "__module__", home) == home
    ]


class Said(SphinxRole):
    """What stands in backticks: perhaps a name, else code."""

    def run(self) -> tuple[list[Node], list[system_message]]:
        """The nodes of it."""
        if not _NAME.fullmatch(self.text):
            return [literal(self.rawtext, self.text)], []
        return PyXRefRole()(
            "py:obj", self.rawtext, self.text, self.lineno, self.inliner, self.options, self.content
        )


def _lead(app: Sphinx, env: BuildEnvironment, reference: pending_xref, text: Node) -> Node | None:
    """Types may be names for others (`Image`), and what stands in backticks need not be a name."""
    target, kind = reference["reftarget"], reference.get("reftype")
    if reference.get("refdomain") != "py" or kind not in ("class", "obj"):
        return None
    found = env.domains.python_domain.find_obj(env, "", "", target, "obj", searchmode=1)
    if len(found) == 1 and found[0][1].node_id:
        place = found[0][1]
        return make_refnode(app.builder, reference["refdoc"], place.docname, place.node_id, text)
    if kind == "obj" and (not target.startswith("arssr.") or _is_there(target)):
        return text
    return None


def _is_there(name: str) -> bool:
    try:
        import_by_name(name)
    except ImportError:
        return False
    return True


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    # Overloads differ in what is returned; what is taken is said by the function itself.
    ModuleAnalyzer.overloads = property(lambda _: {}, lambda *_: None)  # type: ignore[assignment]
    app.add_role("said", Said())
    app.connect("autodoc-process-docstring", _mend)
    app.connect("missing-reference", _lead)
    return {"parallel_read_safe": True}
