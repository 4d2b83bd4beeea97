"""Handlers of the reward side of a method-vector file: advantages, shaping and selection."""

from __future__ import annotations

import math
from typing import Any

from vector_tools import Case, handles, indexes_by_group, normalized, pick, scatter

from tfgrpo import advantages as adv
from tfgrpo import selection as sel
from tfgrpo.advantages import moments

METRICS = {"acc": "accuracy", "accuracy": "accuracy", "seq_reward": "shaped_reward"}


@handles("GRPO", "advantages")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    groups = indexes_by_group(inputs, params, len(inputs["rewards"]))
    results = [normalized([inputs["rewards"][i] for i in members], params) for members in groups]
    return {"advantages": scatter(groups, results), "degenerate": all(r.degenerate for r in results)}


@handles("GRPO", "advantages_per_token")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    result = adv.process_supervision(
        inputs["step_rewards"],
        inputs["step_end_token_1based"],
        lengths_G=inputs.get("lengths"),
        **pick(params, ddof="ddof", eps="eps"),
    )
    return {"advantages": result.values_G_T, "degenerate": result.degenerate}


@handles("GRPO", "group_weight")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    rates, size = inputs["success_rate"], inputs.get("G", params.get("G"))
    return {
        "equal": sel.group_weights(rates, "equal"),
        "grpo_population": sel.group_weights(rates, "grpo"),
        "grpo_sample": sel.group_weights(rates, "grpo", group_size=size),
        "drgrpo": sel.group_weights(rates, "dr_grpo"),
    }


@handles("Dr.GRPO", "advantages")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    groups = indexes_by_group(inputs, params, len(inputs["rewards"]))
    per_group = [[inputs["rewards"][i] for i in members] for members in groups]
    results = [adv.dr_grpo(rewards) for rewards in per_group]
    values = scatter(groups, results)
    rloo = scatter(groups, [adv.rloo(rewards) for rewards in per_group])
    return {"advantages": values, "drgrpo": values, "rloo": rloo, "degenerate": all(r.degenerate for r in results)}


@handles("PPO", "advantages", "advantages_returns")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    if "values" not in inputs:
        return tabular(inputs, params)
    steps = adv.gae(
        inputs["rewards"], inputs["values"], **pick(params, gamma="gamma", lam="lam", last_value="last_value")
    )
    if not params.get("whiten", False):
        return {"advantages": steps.advantages, "returns": steps.returns}
    known = [
        math.nan if math.isnan(r + v) else a
        for a, r, v in zip(steps.advantages, inputs["rewards"], inputs["values"], strict=True)
    ]
    whitened = adv.whiten(known, **pick(params, ddof="ddof", eps="eps"))
    return {"advantages": whitened, "returns": steps.returns, "degenerate": whitened.degenerate}


def tabular(inputs: Case, params: Case) -> dict[str, Any]:
    """The tabular critic, on one problem."""
    history = {"x": (inputs["history_successes"], inputs["history_trials"])}
    critic = adv.Critic(history=history, **pick(params, prior_mean="prior_mean", prior_strength="prior_strength"))
    result = adv.critic_advantages(critic, "x", inputs["rewards"])
    return {"V": adv.critic_value(critic, "x"), "advantages": result, "degenerate": result.degenerate}


@handles("PPO", "value_loss")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    loss = adv.value_loss(
        inputs["vpred"], inputs["returns"], inputs.get("values_old"), clip=params.get("cliprange_value")
    )
    return {"loss": loss, "valid": not math.isnan(loss)}


def overlong(inputs: Case, params: Case) -> tuple[float, ...]:
    """The length penalty; `penalty_factor` is verl's word, and verl has no floor."""
    floor = params.get("floor", None if "penalty_factor" in params else -1.0)
    return adv.soft_overlong(
        inputs["lengths"],
        max_length=params["L_max"],
        cache=params["L_cache"],
        floor=-1.0 if floor is True else None if floor is False else floor,
        **pick(params, factor="penalty_factor"),
    )


@handles("DAPO", "length_reward")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    return {"rewards": overlong(inputs, params)}


@handles("DAPO", "advantages")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    good, bad = params.get("reward_correct", 1.0), params.get("reward_wrong", -1.0)
    outcome = [math.nan if math.isnan(c) else good if c else bad for c in inputs["correct"]]
    rewards = [a + b for a, b in zip(outcome, overlong(inputs, params), strict=True)]
    if "truncated" in inputs:
        rewards = adv.mask_truncated(rewards, inputs["truncated"])
    result = normalized(rewards, params)
    return {"rewards": rewards, "advantages": result, "degenerate": result.degenerate}


@handles("DAPO", "group_filter")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    metric = params.get("metric", "acc")
    kept = sel.keep_informative(inputs[METRICS.get(metric, metric)])
    spreads = [moments.std(row) for row in inputs.get("shaped_reward", ())]
    budget = pick(params, max_rounds="max_num_gen_batches", rounds="num_gen_batches", wanted="wanted")
    return {
        "keep": kept.keep_P,
        "n_kept": kept.n_kept,
        "retry": kept.retry,
        "retry_queue": kept.retry,
        "action": sel.sampling_action(kept.n_kept, **budget).value,
        "std_of_shaped_reward": spreads[0] if len(spreads) == 1 else spreads,
    }


@handles("GFPO", "filtered_advantages")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    longest = params.get("max_length", math.inf)
    result = sel.gfpo(
        inputs["rewards"],
        [math.nan if length > longest else length for length in inputs["lengths"]],
        params.get("k", len(inputs["rewards"])),
        **pick(params, metric="metric", order="order", ddof="ddof", eps="eps", stratified="stratified"),
    )
    return {
        "selected": result.selected,
        "advantages": result.advantages,
        "scores": result.metric_G,
        "degenerate": result.advantages.degenerate,
    }


@handles("GFPO", "k_schedule")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    named = pick(params, very_hard="k_very_hard", hard="k_hard", medium="k_medium", easy="k_easy")
    schedule = sel.AdaptiveK(**named, **pick(params, min_history="min_history"))
    history = inputs["history_mean_rewards"]
    return {
        "quartiles": sel.difficulty_quartiles(history),
        "k": [sel.adaptive_k(mean, history, schedule) for mean in inputs["group_mean_rewards"]],
    }


@handles("GFPO", "excess_length_reduction")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    elr = sel.excess_length_reduction(inputs["L_sft"], inputs["L_grpo"], inputs["L_gfpo"])
    return {"elr": elr, "valid": not math.isnan(elr)}


@handles("GDPO", "advantages", "pre_batch_advantages")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    table = inputs.get("rewards")
    if table is None:
        graders = [values for name, values in inputs.items() if name not in ("group_ids", "group_size", "lengths")]
        table = [list(row) for row in zip(*graders, strict=True)]
    groups = indexes_by_group(inputs, params, len(table))
    per_group = pick(params, weights="weights", ddof="ddof", eps="eps_group")
    before = [adv.gdpo([table[i] for i in members], **per_group) for members in groups]
    by_rollout = batch_scaled(before, params)
    by_token = params.get("batch_stat") == "token-weighted"
    scaled = by_rollout
    if by_token:
        lengths = [[inputs["lengths"][i] for i in members] for members in groups]
        scaled = batch_scaled(before, params, lengths_P_G=lengths, reset_degenerate=False)
    return {
        "pre_batch": scatter(groups, before),
        "advantages": scatter(groups, scaled if params.get("batch_norm", True) else before),
        "degenerate": all(group.degenerate for group in before),
        **{f"toolkit_expected_for_group_{p}": group for p, group in enumerate(by_rollout)},
    }


def batch_scaled(groups: list[adv.GdpoAdvantages], params: Case, **extra: Any) -> tuple[adv.Advantages, ...]:
    """Eq. 6 with the case's eps, which joins the variance when named `eps_batch_var`."""
    eps = pick(params, eps="eps_batch_var") | ({"eps_in_variance": True} if "eps_batch_var" in params else {})
    return adv.scale_batch(groups, **(eps or pick(params, eps="eps_batch")), **pick(params, ddof="ddof"), **extra)


@handles("GDPO", "conditioned_rewards")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    return {"r_k": adv.condition(inputs["r_k"], inputs["r_l"], threshold=params["threshold"])}
