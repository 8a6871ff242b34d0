"""Make ``dvc plots show`` work without a network: ``python -m stages.plots_html``, once in a clone.

The page that DVC writes loads its drawing library from a CDN and stays blank without one. This
writes a page that carries the library, and tells this clone's DVC to use it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stages.common.errors import ProjectError, run
from stages.common.files import write_text

PAGE = Path(".dvc/plots/offline.html")


def main() -> None:
    """Write the page, then point DVC to it: a template that is configured but absent fails every plot."""
    try:
        import vl_convert
    except ImportError as error:
        raise ProjectError("vl-convert-python is not installed", fix="run make setup") from error
    write_text(PAGE, page(vl_convert.javascript_bundle()))  # type: ignore[call-arg]  # its stub lacks the default
    command = ["config", "--local", "plots.html_template", PAGE.relative_to(".dvc").as_posix()]
    subprocess.run([sys.executable, "-m", "dvc", *command], check=True)


def page(library: str) -> str:
    """A page with a script in it, and the places that DVC fills."""
    # Inside a script element, only this would end it early.
    script = library.replace("</script", "<\\/script")
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{refresh_tag}<title>Plots</title>'
        f"<script>(function(){{{script}}})();</script></head><body>{{plot_divs}}</body></html>"
    )


if __name__ == "__main__":
    run(main)
