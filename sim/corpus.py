"""The corpus: seeds that once found a bug, with their story, replayed for ever.

A story is a TOML file, `seeds/NNNN-what-it-found.toml`:

    seed = 7
    symptom = "what the simulator said"
    cause = "what was wrong"
    fixed_by = "what was changed, and the scenario test that shows it"

    [options]          # optional: what differs from the options that the seed draws
    clients = 2
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from sim.result import Result
from sim.revision import ROOT

FOLDER = ROOT / "seeds"
_NAME = re.compile(r"\d{4}-[a-z0-9-]+\.toml")
_KEYS = ("seed", "symptom", "cause", "fixed_by")


class BadStory(ValueError):
    """A file of the corpus that doesn't read as a story."""


@frozen(kw_only=True)
class Story:
    name: str
    seed: int
    symptom: str
    cause: str
    fixed_by: str
    options: Mapping[str, Any] = field(factory=dict)


def read_story(path: Path) -> Story:
    """Raises BadStory, naming the file and what is wrong with it."""
    if not _NAME.fullmatch(path.name):
        raise BadStory(f"{path.name}: a story is called NNNN-what-it-found.toml")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadStory(f"{path.name}: {error}") from error
    missing = [key for key in _KEYS if key not in table]
    surplus = [key for key in table if key not in (*_KEYS, "options")]
    if missing or surplus:
        raise BadStory(f"{path.name}: missing {missing}, unknown {surplus}")
    return Story(name=path.stem, options=table.get("options", {}), **{key: table[key] for key in _KEYS})


def stories(folder: Path = FOLDER) -> tuple[Story, ...]:
    """All stories, in the order of their numbers."""
    return tuple(read_story(path) for path in sorted(folder.glob("*.toml")))


def replay_story(story: Story) -> Result:
    """Run the story's seed with its options."""
    from sim.run import run_seed

    return run_seed(story.seed, overrides=story.options)
