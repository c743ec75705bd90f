"""Where charts are drawn, and the charts that all problems share.

Rooms: `paper` (figures, axes, times, saving), `words` (labels of axes, titles, rows of names),
`places` (maps), `costs` (cost splits as stacked bars), `ratios` (policies beside the optimum).
matplotlib is imported when something is drawn, not before. Whatever is drawn can be told apart
without colour: by grey, hatching, line and marker, or by a colour map from dark to light.
"""

from optmodels.canvas.costs import FILLS, cost_chart, draw_costs
from optmodels.canvas.paper import (
    DRAWINGS,
    axes_of,
    check_target,
    colours,
    figure_of,
    legend_beside,
    panels_of,
    save_figure,
    save_result,
    time_axis,
)
from optmodels.canvas.places import degrees_of, map_axes, name_points
from optmodels.canvas.ratios import draw_ratios
from optmodels.canvas.words import (
    entitle,
    figures,
    label,
    legend_below,
    legend_beyond,
    numbers_beside,
    panels,
    row_axes,
)

__all__ = [
    "DRAWINGS",
    "FILLS",
    "axes_of",
    "check_target",
    "colours",
    "cost_chart",
    "degrees_of",
    "draw_costs",
    "draw_ratios",
    "entitle",
    "figure_of",
    "figures",
    "label",
    "legend_below",
    "legend_beside",
    "legend_beyond",
    "map_axes",
    "name_points",
    "numbers_beside",
    "panels",
    "panels_of",
    "row_axes",
    "save_figure",
    "save_result",
    "time_axis",
]
