"""What the handlers of method-vector cases share: the registry, and how the file's words read as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tfgrpo import advantages as adv
from tfgrpo import edit_scores as edit

Case = Mapping[str, Any]
Handler = Callable[[Case, Case], dict[str, Any]]

HANDLERS: dict[tuple[str, str], Handler] = {}
ESTIMATORS = {"kl": "k1", "low_var_kl": "k3", "mse": "k2"}


def handles(method: str, *quantities: str) -> Callable[[Handler], Handler]:
    """Register a handler of (inputs, params) that returns everything the library says about them."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update({(method, quantity): handler for quantity in quantities})
        return handler

    return register


def pick(params: Case, **names: str) -> dict[str, Any]:
    """Keyword arguments that a case sets, from the file's word (value) to the library's (key)."""
    return {ours: params[theirs] for ours, theirs in names.items() if theirs in params}


def rows(values: Any) -> list[list[float]]:
    """Log-prob rows; a rollout that is missing as a whole has no tokens."""
    return [row if isinstance(row, list) else [] for row in values]


def both_sides(inputs: Case) -> tuple[list[list[float]], list[list[float]]]:
    """New and old log-probs."""
    return rows(inputs["logp_new"]), rows(inputs["logp_old"])


def log_ratio_sums(inputs: Case) -> Sequence[float]:
    """D_i, given as such or as log-probs."""
    for name in ("log_ratio", "sum_log_ratio"):
        if name in inputs:
            return inputs[name]
    return edit.sum_log_ratios(*both_sides(inputs))


def indexes_by_group(inputs: Case, params: Case, count: int) -> list[list[int]]:
    """Row numbers of each group, from `group_ids` or `group_size`; one group without either."""
    size = inputs.get("group_size", params.get("group_size", count)) or 1
    ids = inputs.get("group_ids", [i // size for i in range(count)])
    order = sorted(range(count), key=lambda i: ids[i])
    return [list(members) for _, members in groupby(order, key=lambda i: ids[i])]


def scatter(groups: Sequence[Sequence[int]], values: Sequence[Sequence[float]]) -> list[float]:
    """Values of the groups back in the order of the rows."""
    placed = {i: x for members, row in zip(groups, values, strict=True) for i, x in zip(members, row, strict=True)}
    return [placed[i] for i in range(len(placed))]


def estimator(params: Case, default: str = "k3", name: str = "kl") -> str:
    """KL estimator named in words, such as `k1 token mean of (old-new)`."""
    word = str(params.get(name, default)).split()[0]
    return ESTIMATORS.get(word, word)


def normalized(rewards: Sequence[float], params: Case) -> adv.Advantages:
    """GRPO advantages of one group with the case's ddof, eps and quirks."""
    if params.get("nan_policy", "exclude_then_zero") != "exclude_then_zero":
        raise ValueError(f"unknown nan_policy {params['nan_policy']!r}")
    return adv.grpo(rewards, **pick(params, ddof="ddof", eps="eps", singleton="singleton"))


def group_advantages(rewards: Sequence[float], params: Case) -> adv.Advantages:
    """Advantages of one group by the case's `advantage` or `base`; mean-centred unless it says otherwise."""
    kind = params.get("advantage", params.get("base", "mean_centred"))
    kinds = {"mean_centred": adv.dr_grpo, "dr_grpo": adv.dr_grpo, "drgrpo": adv.dr_grpo, "rloo": adv.rloo}
    return kinds[kind](rewards) if kind in kinds else normalized(rewards, params)
