"""An evaluation of Weave for two models: what its SDK sends, as calls, one a line, as a project is exported."""

import asyncio
import json

import weave
from loopback import TASKS, Loopback, answer
from weave.trace import weave_client
from weave.trace.context import weave_client_context
from weave.trace_server_bindings.remote_http_trace_server import RemoteHTTPTraceServer


class Solver(weave.Model):
    """A model with a hint or without."""

    hint: str

    @weave.op
    def predict(self, question: str) -> str:
        """Answer."""
        return answer(f"{self.hint} {question}")


@weave.op
def exact(answer: str, output: str) -> dict:
    """Compare."""
    return {"correct": answer == output}


server = Loopback()
remote = RemoteHTTPTraceServer(server.url, should_batch=False, username="api", password="x")
client = weave_client.WeaveClient("team", "project", remote, ensure_project_exists=False)
weave_client_context.set_weave_client_global(client)
tasks = [{"id": f"q{n}", "question": f"Double {n}", "answer": str(2 * n)} for n in TASKS]
evaluation = weave.Evaluation(name="doubles", dataset=tasks, scorers=[exact])
for name, hint in (("with", "zebra"), ("without", "")):
    asyncio.run(evaluation.evaluate(Solver(name=name, hint=hint)))
client.finish()
calls: dict[str, dict] = {}
for path, body in server.got:
    if path.startswith("/call/"):
        (part,) = json.loads(body).values()
        calls.setdefault(part["id"], {}).update(part)
with open("calls.jsonl", "w", encoding="utf-8") as stream:
    stream.writelines(f"{json.dumps(call)}\n" for call in calls.values())
