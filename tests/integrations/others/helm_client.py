"""A model of HELM that says which numbers are even; the worse one is wrong for each third."""

import re

from helm.clients.simple_client import SimpleClient


class Scripted(SimpleClient):
    """Answers by the engine's name."""

    def invoke_model(self, raw_request):
        """Answer the last number that was asked about."""
        number = int(re.findall(r"Number: (\d+)", raw_request["prompt"])[-1])
        wrong = raw_request["engine"] == "without" and number % 3 == 0
        said = ("Even", "Odd")[number % 2 ^ wrong]
        return {"completions": [said] * raw_request["num_completions"]}
