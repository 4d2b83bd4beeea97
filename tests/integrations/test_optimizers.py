"""The acceptance rule inside the real DSPy and MLflow."""

import random

import pytest
from support.server import Server

from tfgrpo.integrations.gepa import Acceptance

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]


def test_dspy_optimizer(monkeypatch):
    """dspy.GEPA keeps an instruction that helps only after the rule has seen fresh examples."""
    dspy = pytest.importorskip("dspy")
    from tfgrpo.integrations.dspy import gepa_optimizer

    class Double(dspy.Signature):
        """Answer with a number."""

        number: str = dspy.InputField()
        answer: str = dspy.OutputField()

    def metric(example, prediction, trace=None, name=None, predicted=None):
        return float(str(prediction.answer).strip() == example.answer)

    rows = [dspy.Example(number=f"number: {i}", answer=str(2 * i)).with_inputs("number") for i in range(1, 60)]
    with Server(reply=doubled) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        lm = dspy.LM("openai/m", api_base=server.url, api_key="none", cache=False)
        with dspy.context(lm=lm):
            rule = Acceptance(screen=True, seed=1)
            optimizer = gepa_optimizer(
                rule, metric=metric, reflection_lm=lm, max_metric_calls=160, num_threads=4, use_merge=False
            )
            better = optimizer.compile(dspy.Predict(Double), trainset=rows[:50], valset=rows[50:])
    assert "Always double" in better.signature.instructions
    assert optimizer.acceptance.calls > 0
    assert any("helps" in told for told in optimizer.acceptance.reasons.values())


def doubled(body):
    """Play the program and the writer of instructions."""
    text = "\n".join(str(m["content"]) for m in body["messages"])
    if "new_instruction" in text:
        return '{"new_instruction": "Always double the number."}'
    number = int(text.rpartition("number: ")[2].split("\n")[0].strip())
    answer = 2 * number if "Always double" in text else number
    return f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]"


@pytest.mark.parametrize(("gain", "kept"), [(0.6, True), (0.0, False)])
def test_mlflow_optimizer(gain, kept, monkeypatch):
    """MLflow's GepaPromptOptimizer keeps a prompt that helps, and refuses one that does nothing."""
    pytest.importorskip("mlflow")
    from mlflow.genai.optimize.types import EvaluationResultRecord

    from tfgrpo.integrations.mlflow import gepa_optimizer

    rng = random.Random(2)

    def evaluate(prompts, records):
        chance = 0.3 + gain * ("better" in prompts["p"])
        scores = [float(rng.random() < chance) for _ in records]
        return [
            EvaluationResultRecord(
                inputs=r["inputs"],
                outputs="o",
                expectations="e",
                score=s,
                trace=None,
                rationales={},
                individual_scores={},
            )
            for r, s in zip(records, scores, strict=True)
        ]

    with Server(reply=lambda _: "```\nDo it better.\n```") as server:
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_API_BASE", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        optimizer = gepa_optimizer("openai:/m", Acceptance(screen=False), max_metric_calls=260)
        data = [{"inputs": {"q": str(i)}, "outputs": "x"} for i in range(60)]
        found = optimizer.optimize(evaluate, data, {"p": "Do it."}, enable_tracking=False)
    assert ("better" in found.optimized_prompts["p"]) is kept
    assert optimizer.acceptance.calls > 0


def test_mlflow_optimize_prompts(monkeypatch, tmp_path):
    """The whole of `mlflow.genai.optimize_prompts` keeps a prompt that the rule has proved, and registers it."""
    mlflow = pytest.importorskip("mlflow")
    from mlflow.genai.scorers import scorer

    from tfgrpo.integrations.mlflow import gepa_optimizer

    @scorer
    def exact(outputs, expectations):
        return outputs == expectations["expected_response"]

    def predict(q):
        """Play a model that answers only where the prompt asks for better."""
        return "x" if "better" in mlflow.genai.load_prompt(asked.uri).format(q=q) else "y"

    data = [{"inputs": {"q": str(i)}, "expectations": {"expected_response": "x"}} for i in range(10)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks GitHub for prices, thrice
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    with Server(reply=lambda _: "```\nDo it better: {{q}}\n```") as server:
        monkeypatch.setenv("OPENAI_API_BASE", server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        asked = mlflow.genai.register_prompt("whole", "Do it: {{q}}")
        optimizer = gepa_optimizer("openai:/m", Acceptance(screen=False), max_metric_calls=24)
        found = mlflow.genai.optimize_prompts(
            predict_fn=predict, train_data=data, prompt_uris=[asked.uri], optimizer=optimizer, scorers=[exact]
        )
    assert [prompt.template for prompt in found.optimized_prompts] == ["Do it better: {{q}}"]
    assert (found.initial_eval_score, found.final_eval_score) == (0.0, 1.0)
    assert optimizer.acceptance.calls > 0
