"""Planted worlds: text and benchmark items about groups whose bias is known, because it was put there."""

from __future__ import annotations

from stages.common.errors import ParamsError
from stages.common.params import Params, choose, parse


def check_params(params: Params, where: str) -> None:
    """Check worlds, that ``lab:<world>`` sources name one, and calibration grids (called by ``load_params``)."""
    from stages.lab.calibration import check_grids
    from stages.lab.world import World

    for slug, raw in params.worlds.items():
        parse(World, raw, f"{where}: worlds.{slug}")
    for slug, dataset in params.datasets.items():
        if dataset.source.startswith("lab:"):
            try:
                choose(params.worlds, dataset.source.removeprefix("lab:"), "world")
            except ParamsError as error:
                raise ParamsError(error.what, where=f"{where}: datasets.{slug}.source") from None
    check_grids(params, where)
