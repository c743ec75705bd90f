"""Trade-offs: what less of one cost takes in another, with a proof of how good any plan can be.

``om.frontier`` finds plans of least weighted sum for a few well-chosen weights. Each gives a point
that no plan beats in both costs, and each bound gives a straight line below which there is no plan.
So the whole front lies between two polylines: the *inner* one through the points, and the *outer*
one made of the lines. Where the two are farthest apart, the next weights are chosen.

Rooms: `geometry` (the two polylines), `search` (which weights), `front` (the result), `drawing`.
"""

from optmodels.trade_off.front import Frontier
from optmodels.trade_off.search import frontier

__all__ = ["Frontier", "frontier"]
