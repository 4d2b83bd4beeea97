"""Items of two experiments in the types of Langfuse's SDK, as its API answers; no server of it was asked."""

from datetime import UTC, datetime

from langfuse.api import (
    ExperimentItem,
    ExperimentItemsResponse,
    ExperimentsResponseMeta,
    ScoreV3_Numeric,
)
from loopback import TASKS, answer

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def item(run, hint, n):
    """Return one item of an experiment."""
    said = answer(f"{hint} Double {n}")
    score = ScoreV3_Numeric(
        id=f"s{n}", project_id="p", name="exact", value=float(said == str(2 * n)), source="API", environment="default",
        timestamp=NOW, created_at=NOW, updated_at=NOW,
        subject={"kind": "trace", "id": f"{run}{n}"},
    )  # fmt: skip
    return ExperimentItem(
        id=f"{run}{n}", trace_id=f"{run}{n}", start_time=NOW, level="DEFAULT", environment="default", experiment_id=run,
        experiment_name=run, experiment_item_id=f"q{n}", input=f"Double {n}", output=said, expected_output=str(2 * n),
        scores=[score],
    )  # fmt: skip


found = [item(run, hint, n) for run, hint in (("with", "zebra"), ("without", "")) for n in TASKS]
answered = ExperimentItemsResponse(data=found, meta=ExperimentsResponseMeta(cursor=None))
with open("items.json", "w", encoding="utf-8") as stream:
    stream.write(answered.model_dump_json(by_alias=True))
