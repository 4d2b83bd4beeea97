"""Which commands there are, what the list says of each, and where each is: none is imported before it is used."""

from __future__ import annotations

from collections.abc import Mapping

COMMANDS: Mapping[str, tuple[str, str]] = {
    "init": (
        "tfgrpo.cli.init:init",
        "Ask four questions (what, where, which model, how graded), write tfgrpo.toml, and say the next command.",
    ),
    "learn": (
        "tfgrpo.cli.learn:learn",
        "Distil lessons from a dataset into a library, prove them on held-out problems, and say what it cost.",
    ),
    "eval": (
        "tfgrpo.cli.evaluate:evaluate",
        "Measure mean@k with its interval, pass@k and pass^k of a library on a dataset.",
    ),
    "compare": (
        "tfgrpo.cli.compare:compare",
        "Learn with several methods and seeds at equal budget, and say which differences exceed the noise.",
    ),
    "prove": (
        "tfgrpo.cli.prove:prove",
        "Say whether a text helps: with against without, on the same problems and seeds, until it is clear.",
    ),
    "grade": ("tfgrpo.cli.grade:grade", "Grade a file of answers: no model is needed for graders that compare."),
    "reproduce": (
        "tfgrpo.cli.reproduce:reproduce",
        "Run a pinned recipe: its price before, and after it a verdict: inside, outside, or too few problems to tell.",
    ),
    "report": (
        "tfgrpo.cli.report:report",
        "Write a run as one self-contained page: result, lessons with their evidence, rollouts, cost.",
    ),
    "ui": (
        "tfgrpo.cli.ui:ui",
        "Show libraries, lessons, runs and what waits for review as pages in a browser, and follow runs as they go on.",
    ),
    "plugins": (
        "tfgrpo.cli.plugins:plugins",
        "List graders, gates, environments, tools, presets and the rules of searches, built-in and installed.",
    ),
    "lessons": ("", "Read and edit the lessons of a library."),
    "libraries": ("", "What has been learned, library by library."),
    "watch": (
        "tfgrpo.cli.watch:watch",
        "Follow a run of another process: its steps as they end, its calls, and how it ends.",
    ),
    "runs": ("", "What was run, and how it ended."),
    "db": ("", "Whether a database is whole, a copy of it, and the room it takes."),
    "models": ("", "The embedded model, and what an endpoint can do."),
    "tools": ("", "What a rollout may call, and any of it by hand."),
    "tasks": ("", "Candidates for tasks out of what is there, for a person to accept."),
    "datasets": ("", "Named benchmark sets, and what a file holds."),
    "proxy": (
        "tfgrpo.cli.proxy:proxy",
        "Pass requests on to a model's API with a library's lessons in them, and answers back as they come.",
    ),
    "mcp": (
        "tfgrpo.cli.mcp:mcp",
        "Serve a library to agents over MCP: lessons as resources, the block as a prompt, and tools to search and "
        "report.",
    ),
    "corpus": ("", "A file of pages as a small web of its own."),
}
"""Name -> (`module:function`, or nothing for a group; the first line of its help). A module here is imported when its
command is used, so it may import at its top whatever it needs."""

GROUPS: Mapping[str, Mapping[str, str]] = {
    "lessons": {
        "list": "tfgrpo.cli.lesson_stories:list_",
        "show": "tfgrpo.cli.lesson_stories:show",
        "add": "tfgrpo.cli.lessons:add",
        "edit": "tfgrpo.cli.lessons:edit",
        "delete": "tfgrpo.cli.lessons:delete",
        "search": "tfgrpo.cli.lessons:search",
        "log": "tfgrpo.cli.lessons:log",
        "diff": "tfgrpo.cli.lessons:diff",
        "blame": "tfgrpo.cli.lesson_stories:show",
        "audit": "tfgrpo.cli.audit:audit",
        "review": "tfgrpo.cli.review:review",
        "reports": "tfgrpo.cli.lesson_reports:reports",
        "block": "tfgrpo.cli.block:block",
        "scan": "tfgrpo.cli.scan:scan_",
        "rollback": "tfgrpo.cli.lessons:rollback",
        "export": "tfgrpo.cli.lesson_export:export",
        "import": "tfgrpo.cli.lesson_import:import_",
        "push": "tfgrpo.cli.lesson_share:push",
        "pull": "tfgrpo.cli.lesson_share:pull",
        "merge": "tfgrpo.cli.merge:merge",
    },
    "libraries": {
        "list": "tfgrpo.cli.libraries:list_",
    },
    "runs": {
        "list": "tfgrpo.cli.runs:list_",
        "show": "tfgrpo.cli.runs:show",
        "prune": "tfgrpo.cli.runs:prune",
        "track": "tfgrpo.cli.track:track",
    },
    "db": {
        "check": "tfgrpo.cli.db:check",
        "backup": "tfgrpo.cli.db:backup",
        "vacuum": "tfgrpo.cli.db:vacuum",
    },
    "models": {
        "list": "tfgrpo.cli.models:list_",
        "install": "tfgrpo.cli.models:install",
        "serve": "tfgrpo.cli.models:serve",
        "probe": "tfgrpo.cli.models:probe",
    },
    "tools": {
        "list": "tfgrpo.cli.tools:list_",
        "call": "tfgrpo.cli.tools:call",
    },
    "tasks": {
        "from": "tfgrpo.cli.tasks:from_",
        "accept": "tfgrpo.cli.tasks:accept",
    },
    "datasets": {
        "list": "tfgrpo.cli.datasets:list_",
        "show": "tfgrpo.cli.datasets:show",
    },
    "corpus": {
        "serve": "tfgrpo.cli.corpus:serve",
    },
}
"""Group -> its commands -> `module:function`; the list of a group shows the first line of each function's help."""
