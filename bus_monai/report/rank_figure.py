"""Critical-difference diagram."""

from __future__ import annotations

from matplotlib.figure import Figure

from bus_monai.metrics.paired import Ranking


def rank_figure(ranking: Ranking) -> Figure:
    """Draw the mean rank of each model; bars join the models that are not told apart (Demsar, JMLR 7, 2006)."""
    names, ranks = list(ranking.ranks), list(ranking.ranks.values())
    figure = Figure(figsize=(9, 1.6 + 0.32 * len(names)), layout="constrained")
    axis = figure.subplots()
    for i, (name, rank) in enumerate(ranking.ranks.items()):
        axis.plot(rank, i, "o", color="#1f77b4")
        axis.annotate(f"{name}  {rank:.2f}", (rank, i), xytext=(8, -3), textcoords="offset points", fontsize=9)
    bars = [
        (first, max(j for j, rank in enumerate(ranks) if rank - ranks[first] < ranking.critical_difference))
        for first in range(len(ranks))
    ]
    # a bar within the one before says nothing new
    bars = [bar for i, bar in enumerate(bars) if bar[1] > bar[0] and (i == 0 or bar[1] > bars[i - 1][1])]
    for k, (first, last) in enumerate(bars):
        height = len(names) - 0.4 + 0.25 * k
        axis.plot([ranks[first] - 0.03, ranks[last] + 0.03], [height, height], color="#444", linewidth=4)
    axis.set_xlim(0.8, len(names) + 0.9)
    axis.set_yticks([])
    axis.invert_yaxis()
    axis.set_xlabel(f"mean rank, 1 is best; critical difference {ranking.critical_difference:.2f}")
    axis.spines[["left", "right", "top"]].set_visible(False)
    return figure
