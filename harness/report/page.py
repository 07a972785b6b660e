"""Pages of HTML, each one file that needs no network: a template of this folder, filled in and written.

Whatever is put into a page is escaped. Figures come as Plotly objects and are drawn by the filter `plot`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.core.home import write_atomically


def write_page(path: Path, template: str, **content: Any) -> Path:
    """Fill in a template, such as `report.html.j2`, and write the page as a whole; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, _environment().get_template(template).render(content))
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["plotly"] = Markup(get_plotlyjs())
    environment.filters["plot"] = _plot
    return environment


def _plot(figure: Any) -> Markup:
    """A Plotly figure as HTML; Plotly escapes the names in it."""
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}))
