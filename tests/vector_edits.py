"""Handlers of the likelihood side of a method-vector file: what an edit did to stored rollouts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vector_tools import (
    Case,
    both_sides,
    estimator,
    group_advantages,
    handles,
    log_ratio_sums,
    pick,
    rows,
)

from tfgrpo import edit_scores as edit

AGGREGATIONS = {
    "token-mean over all G": "token-mean",
    "token-mean over retained": "token-mean",
    "dr_grpo": "constant-length",
}


def clip_of(params: Case) -> edit.Clip:
    """The trust region of a case; open where it names none."""
    return edit.Clip(params.get("eps_low", math.inf), params.get("eps_high", math.inf), params.get("dual_clip_c"))


def clipped_objective(inputs: Case, params: Case, default: str) -> dict[str, Any]:
    """J and its parts for any aggregation."""
    given = next(inputs[x] for x in ("advantages", "advantages_masked", "advantages_per_token") if x in inputs)
    name = params.get("aggregation", default)
    if name == "token-mean over retained":
        given = [a or math.nan for a in given]
    reference = {"logp_ref_G": rows(inputs["logp_ref"])} if "logp_ref" in inputs else {}
    result = edit.surrogate(
        *both_sides(inputs),
        given,
        clip_of(params),
        aggregation=AGGREGATIONS.get(name, name),
        scale=params.get("scale_factor", params.get("L_max")),
        **pick(params, beta="beta"),
        **reference,
    )
    terms = result.per_token
    return {
        "J": result.value,
        "gain": result.gain,
        "unclipped": result.unclipped,
        "per_token": terms[0] if len(terms) == 1 else terms,
        "clip_fraction": result.clip_fraction,
        "coverage": result.coverage,
        "valid": result.valid,
        "accept": edit.worth_testing(result, **pick(params, floor="noise_floor", cap="max_clip_fraction")),
    }


@handles("PPO", "objective")
@handles("GRPO", "objective")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    return clipped_objective(inputs, params, "seq-mean-token-mean")


@handles("DAPO", "objective")
@handles("GFPO", "objective")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    return clipped_objective(inputs, params, "token-mean")


@handles("Dr.GRPO", "objective")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    return clipped_objective(inputs, params, "constant-length")


@handles("GRPO", "per_token_kl")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    sampled, other = rows(inputs["logp_new"]), rows(inputs["logp_ref"])
    return {"kl": edit.kl_tokens(sampled, other, estimator(params, name="estimator"))}


@handles("PPO", "kl_coefficient")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    beta, kl = inputs["beta"], inputs["kl"]
    if "d_targ" in params:
        return {"beta_next": edit.adaptive_beta(beta, kl, params["d_targ"])}
    named = pick(params, target="target", horizon="horizon", clip="clip")
    return {"beta_next": edit.proportional_beta(beta, kl, n_steps=inputs["n_steps"], **named)}


@handles("GSPO", "sequence_ratio", "clip_decision")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    sums = None
    if "token_ratios" in inputs:
        ratios = inputs["token_ratios"]
        nested = ratios if ratios and isinstance(ratios[0], list) else [ratios]
        logs = [[math.log(x) if x > 0 else math.nan for x in row] for row in nested]
        means = edit.mean_log_ratios(logs, [[0.0] * len(row) for row in logs])
    elif "mean_log_ratio" in inputs:
        means = inputs["mean_log_ratio"]
    elif "sum_log_ratio" in inputs:
        sums = inputs["sum_log_ratio"]
        means = [d / n if n else math.nan for d, n in zip(sums, inputs["lengths"], strict=True)]
    else:
        means, sums = edit.mean_log_ratios(*both_sides(inputs)), edit.sum_log_ratios(*both_sides(inputs))
    s, clip = edit.sequence_ratios(means), clip_of(params)
    return {
        "s": s,
        "unnormalised": edit.sequence_ratios(sums) if sums is not None else (),
        "valid": [not math.isnan(x) for x in s],
        "outside": [edit.outside(x, clip) for x in s],
        "clipped_if_positive_advantage": [x > 1.0 + clip.high for x in s],
        "clipped_if_negative_advantage": [x < 1.0 - clip.low for x in s],
    }


@handles("GSPO", "objective")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    given = inputs.get("advantages_per_token", inputs.get("advantages"))
    result = edit.gspo(*both_sides(inputs), given, clip_of(params))
    return gspo_values(result) | {"J": result.value, "valid": result.valid}


def gspo_values(result: edit.Gspo) -> dict[str, Any]:
    """What a GSPO score says, in the file's words."""
    return {"s": result.ratios_G, "gain": result.gain, "fraction_outside": result.fraction_outside}


def disco_scores(inputs: Case, params: Case, kind: str | None = None) -> Sequence[float]:
    """Scores given as such, or from log-probs."""
    if "scores" in inputs:
        return inputs["scores"]
    named = pick(params, cap="cap")
    return edit.disco_scores(*both_sides(inputs), kind or params.get("score", "log_likelihood"), **named)


@handles("DisCO", "scores")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    return {kind: disco_scores(inputs, params, kind) for kind in ("log_likelihood", "likelihood_ratio")}


def tau_of(params: Case) -> float | None:
    """The temperature, or None for the variant without one."""
    return None if params.get("variant") == "DisCO-b" else params.get("tau")


@handles("DisCO", "objective")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    scores, rewards = disco_scores(inputs, params), inputs.get("correct", inputs.get("rewards"))
    threshold = params.get("threshold")
    if scores and isinstance(scores[0], list):
        batch = edit.disco_batch(scores, rewards, tau=tau_of(params), threshold=threshold)
        means = {"J": batch.value, "J_official": batch.value, "J_mean_over_valid": batch.mean_over_valid}
        return means | {"n_valid": batch.valid, "valid": batch.valid > 0}
    result = edit.disco(scores, rewards, tau=tau_of(params), threshold=threshold)
    by_tau = {tau: edit.disco(scores, rewards, tau=tau, threshold=threshold) for tau in params.get("taus", ())}
    weights = {
        f"negative_weights_tau_{name}".replace(".", "p"): x.wrong_weights
        for tau, x in by_tau.items()
        for name in (f"{tau:g}", f"{float(tau)}")
    }
    return {
        "scores": scores,
        "J": [x.value for x in by_tau.values()] if by_tau else result.value,
        "J_b": edit.disco(scores, rewards, threshold=threshold).value,
        "n_pos": result.n_right,
        "n_neg": result.n_wrong,
        "n_ignored": result.n_ignored,
        "negative_weights": result.wrong_weights,
        "valid": result.valid,
        **weights,
        **(hinge(inputs, params) if "logp_new" in inputs else {}),
    }


@handles("DisCO", "kl_penalty")
def hinge(inputs: Case, params: Case) -> dict[str, Any]:
    """KL and its penalty in the paper's form and the code's."""
    kl = edit.kl(rows(inputs["logp_old"]), rows(inputs["logp_new"]), estimator(params, "k1"))
    beta, delta = params.get("beta", 0.0), params.get("delta", 0.0)
    return {
        "kl": kl,
        "penalty": edit.kl_hinge(kl, beta=beta, delta=delta, factor=params.get("hinge_factor", 1.0)),
        "penalty_paper": edit.kl_hinge(kl, beta=beta, delta=delta),
        "penalty_code_potential": edit.kl_hinge(kl, beta=beta, delta=delta, factor=0.5),
        "code_gradient_coefficient_on_kl": beta * max(kl - delta, 0.0),
    }


@handles("DisCO", "objective_and_gradient")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    rewards, penalty = inputs.get("correct", inputs.get("rewards")), hinge(inputs, params)
    result = edit.disco(disco_scores(inputs, params), rewards, tau=tau_of(params), threshold=params.get("threshold"))
    gradient = edit.disco_gradient(
        *both_sides(inputs),
        rewards,
        tau=tau_of(params),
        estimator=estimator(params, "k1"),
        beta=params.get("beta", 0.0) * params.get("hinge_factor", 1.0),
        **pick(params, score="score", delta="delta"),
    )
    objective = result.value - penalty["penalty"]
    values = {"J": result.value, "objective": objective, "loss": -objective, "valid": result.valid}
    return penalty | values | {"grad_loss_wrt_logp_new": gradient}


@handles("GVPO", "loss", "loss_and_gradient", "weights", "best_beta")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    d, rewards, named = log_ratio_sums(inputs), inputs["rewards"], pick(params, beta="beta")
    if rewards and isinstance(rewards[0], list):
        pooled = edit.gvpo_pooled(d, rewards, **named)
        parts = {"gain": pooled.gain, "corr": pooled.corr, "beta_star": pooled.beta_star}
        return parts | {"loss": pooled.loss, "valid": pooled.problems > 0}
    if params.get("variant") == "gvpo_len_norm":
        lengths = inputs["lengths"] if "lengths" in inputs else [len(row) for row in rows(inputs["logp_old"])]
        return gvpo_values(edit.gvpo_len_norm(d, lengths, rewards, **named))
    return gvpo_values(edit.gvpo(d, rewards, **named)) | {"log_ratio": d}


def gvpo_values(result: edit.Gvpo) -> dict[str, Any]:
    """What a GVPO score says, in the file's words."""
    return {
        "loss": result.loss,
        "gain": result.gain,
        "implicit_reward": result.implicit_reward_G,
        "weights": result.weights_G,
        "sum": math.fsum(result.weights_G),
        "grad_wrt_logp_new": result.gradient_G,
        "half_var_implicit": result.half_var_implicit,
        "cov": result.cov,
        "half_var_reward": result.half_var_reward,
        "beta_star": result.beta_star,
        "corr": result.corr,
        "loss_at_beta_star": result.loss_at_beta_star,
        "valid": result.valid,
        "degenerate": result.degenerate,
    }


@handles("HICRA", "advantages_per_token")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    base = inputs["advantages"] if "advantages" in inputs else group_advantages(inputs["rewards"], params)
    result = edit.planning_advantages(base, inputs["planning_mask"], **pick(params, alpha="alpha", recentre="recentre"))
    return {"advantages": result, "mean_per_token_advantage_of_group": edit.mean_advantage(result)}


@handles("HICRA", "semantic_entropy")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    base = params.get("log_base", "e")
    result = edit.semantic_entropy(inputs["sg_counts"], base=math.e if base == "e" else float(base))
    return {"H": result.value, "H_normalised": result.normalized, "valid": result.valid}


@handles("HICRA", "planning_mask")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    mask = edit.planning_mask(inputs["words"], inputs["strategic_grams"])
    return {"mask": mask, "planning_ratio": edit.planning_ratio(mask)}


@handles("HICRA", "strategic_gram_mining")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    frequency = edit.cluster_document_frequency(inputs["clusters"], inputs["solutions"])
    kept = edit.keep_top(frequency, **pick(params, top_fraction="top_fraction", rounding="rounding"))
    grams = dict.fromkeys(gram for name in kept for gram in inputs["clusters"][name])
    return {"cdf": frequency, "kept": kept, "strategic_grams": list(grams)}


@handles("CONTEXT", "edit_score")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    if "lengths" in inputs:
        name = params.get("aggregation", "seq-mean-token-mean")
        scale = params.get("scale_factor", params.get("L_max"))
        identity = edit.identity_value(
            inputs["advantages"], inputs["lengths"], aggregation=AGGREGATIONS.get(name, name), scale=scale
        )
        return {"J_identity": identity}
    if "planning_mask" in inputs:
        return hicra_score(inputs, params)
    if "correct" in inputs or "tau" in params:
        return disco_score(inputs, params)
    if "beta" in params or "sum_log_ratio" in inputs:
        return gvpo_values(edit.gvpo(log_ratio_sums(inputs), inputs["rewards"], **pick(params, beta="beta")))
    given = group_advantages(inputs["rewards"], params) if "rewards" in inputs else inputs["advantages"]
    shared = {"advantages": given, "degenerate": getattr(given, "degenerate", False)}
    if "aggregation" not in params and "advantage" not in params:
        return shared | gspo_values(edit.gspo(*both_sides(inputs), given, clip_of(params)))
    parts = clipped_objective({**inputs, "advantages": given}, params, "seq-mean-token-mean")
    return parts | shared | {"surrogate": parts["unclipped"], "clipped_surrogate": parts["J"]}


def hicra_score(inputs: Case, params: Case) -> dict[str, Any]:
    """Gain of the hierarchy-aware surrogate."""
    given = group_advantages(inputs["rewards"], params)
    named = pick(params, alpha="alpha", recentre="recentre")
    result = edit.hicra_gain(*both_sides(inputs), given, inputs["planning_mask"], **named)
    return {"surrogate_new": result.surrogate, "surrogate_identity": result.identity, "gain": result.gain}


def disco_score(inputs: Case, params: Case) -> dict[str, Any]:
    """Gain in separation under a KL hinge."""
    named = pick(params, score="score", beta="beta", delta="delta")
    result = edit.disco_gain(
        *both_sides(inputs),
        inputs["correct"] if "correct" in inputs else inputs["rewards"],
        tau=tau_of(params),
        estimator=estimator(params),
        **named,
    )
    values = {"gain": result.gain, "kl": result.kl, "penalty": result.penalty}
    return values | {"accept": result.accept, "valid": result.valid}


@handles("CONTEXT", "importance_diagnostic")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    result = edit.effective_sample_size(log_ratio_sums(inputs))
    return {"ess": result.ess, "ess_fraction": result.ess_fraction, "usable": result.usable, "valid": result.valid}


@handles("CONTEXT", "trust_region")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    if "logp_new" in inputs:
        new, old = both_sides(inputs)
        sampled, other = (new, old) if params.get("direction", "").startswith("KL(pi_new") else (old, new)
        return {name: edit.kl(sampled, other, name) for name in ("k1", "k2", "k3")}
    floor = edit.noise_floor(inputs["null_edit_mean_log_ratio"], **pick(params, q="quantile", method="method"))
    shown = [edit.distinguishable(shift, floor) for shift in inputs.get("candidate_mean_log_ratio", ())]
    return {"noise_floor": floor, "distinguishable": shown, "valid": not math.isnan(floor)}


@handles("CONTEXT", "log_prob")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    at = inputs["T"] if isinstance(inputs["T"], list) else [inputs["T"]]
    values = [edit.log_prob(inputs["logits"], inputs["token"], temperature=t) for t in at]
    return {"logp": values if isinstance(inputs["T"], list) else values[0]}


@handles("CONTEXT", "edit_gate")
def _(inputs: Case, params: Case) -> dict[str, Any]:
    result = edit.forgetting_veto(inputs["mean_log_ratio_correct"], noise_floor=params["noise_floor"])
    return {"per_problem_mean": result.mean_P, "veto": result.veto}
