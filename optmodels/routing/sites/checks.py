"""What can be wrong with sites and requests although every field by itself is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from optmodels.errors import Flaw
from optmodels.schema import Place

if TYPE_CHECKING:
    from optmodels.routing.sites.instance import RoutingParameters


def instance_flaws(
    parameters: RoutingParameters,
    tables: Mapping[str, pd.DataFrame],
    places: Mapping[str, Place],
) -> list[Flaw]:
    """Every flaw of an instance that needs more than one field to see."""
    return []
