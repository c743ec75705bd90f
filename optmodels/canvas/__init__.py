"""Where charts are drawn, and the charts that all problems share.

Rooms: `paper` (figures, axes, times, saving), `words` (labels of axes, titles, rows of names),
`places` (maps), `bars` (stacked bars), `costs` (cost splits as such), `ratios` (policies beside the
optimum), `result` (rows that are drawn, saved and shown). matplotlib is imported when something is
drawn, not before. Whatever is drawn can be told apart without colour: by grey, hatching, line and
marker, or by a colour map from dark to light.
"""

from optmodels.canvas.bars import FILLS, largest_parts, stacked_bars
from optmodels.canvas.costs import cost_chart, draw_costs
from optmodels.canvas.paper import (
    DRAWINGS,
    axes_of,
    check_target,
    colours,
    figure_of,
    legend_beside,
    panels_of,
    save_figure,
    time_axis,
)
from optmodels.canvas.places import degrees_of, map_axes, name_points
from optmodels.canvas.ratios import draw_ratios
from optmodels.canvas.result import Result
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
    "Result",
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
    "largest_parts",
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
    "stacked_bars",
    "time_axis",
]
