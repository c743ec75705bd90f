"""How requests are spread over what runs, when a site is seen as a fluid.

Requests of a class that a site is given go to its running instances in proportion to what these
serve, as a scheduler with weights does it; what is more than they serve is lost.
"""

from __future__ import annotations

import numpy as np

from optmodels.policy import FloatArray
from optmodels.routing.sites.dispatch import Loading
from optmodels.routing.sites.profile import BoolArray, IntArray, Profile

#: Capacities are used up to this share less than they are, so that sums stay within them.
_ROUNDING = 1e-12


def capacity(
    profile: Profile, running: IntArray, configured: IntArray, loading: Loading
) -> FloatArray:
    """Requests that the running instances serve [1/s], shape (S, R).

    Instances that still load serve nothing: where more run than have loaded, all rows of the degree
    serve less in proportion.
    """
    effective, _ = loading.after(configured)
    by_degree = instances_by_degree(profile, running)
    share = np.divide(
        effective, by_degree, out=np.ones_like(effective), where=by_degree > effective
    )
    served: FloatArray = running * profile.rate * share[:, profile.degree_of] * (1 - _ROUNDING)
    return served


def instances_by_degree(profile: Profile, running: IntArray) -> IntArray:
    """Running instances of each site and degree, shape (S, G)."""
    of_degree = profile.degree_of[:, None] == np.arange(len(profile.degrees))
    counts: IntArray = running @ of_degree.astype(np.int64)
    return counts


def by_class(profile: Profile, of_rows: FloatArray) -> FloatArray:
    """Sums over the rows of each class: shape (..., R) to (..., C)."""
    of_class = profile.row_class[:, None] == np.arange(profile.classes)
    sums: FloatArray = of_rows @ of_class.astype(np.float64)
    return sums


def spread(profile: Profile, load: FloatArray, serves: FloatArray) -> FloatArray:
    """Flows of requests that go to given sites.

    Parameters
    ----------
    profile
        Rows.
    load
        Requests by origin, site and class [1/s], shape (O, S, C).
    serves
        Requests that each site's instances serve, by row [1/s], shape (S, R).

    Returns
    -------
    FloatArray
        Requests served [1/s], shape (O, S, R); at most `serves` at each site and row.
    """
    of_class = by_class(profile, serves)
    given = load.sum(axis=0)
    busy = np.divide(given, of_class, out=np.zeros_like(given), where=of_class > 0)
    # Of each origin's load, the share that is served, divided by what the class is able to serve.
    part = np.minimum(busy, 1.0) / np.where(given > 0, given, 1.0)
    flow: FloatArray = load[:, :, profile.row_class] * (part[:, profile.row_class] * serves)
    return flow


def reachable(profile: Profile, arcs: BoolArray) -> BoolArray:
    """Whether a site serves a class from an origin within its limits, shape (O, S, C)."""
    found = np.zeros((*arcs.shape[:2], profile.classes), dtype=bool)
    for c in range(profile.classes):
        found[:, :, c] = arcs[:, :, profile.row_class == c].any(axis=2)
    return found


def rows_for_all(profile: Profile, arcs: BoolArray) -> BoolArray:
    """Rows of a site that keep the limits of every origin it can serve at all, shape (S, R)."""
    out_of_reach = ~reachable(profile, arcs)[:, :, profile.row_class]
    return np.asarray((arcs | out_of_reach).all(axis=0) & arcs.any(axis=0))
