"""HTML pages from the templates of this package."""

from collections.abc import Sequence
from typing import Any


def render(template: str, packages: Sequence[str], **values: Any) -> str:
    """The page that a template makes of these values; all of them escaped, none may be missing.

    packages: where templates are looked for, in this order.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)
