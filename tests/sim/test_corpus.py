"""Stories of the corpus: what reads as one, what is refused and how, and that those in `seeds` do."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.corpus import BadStory, read_story, stories

GOOD = 'seed = 7\nsymptom = "s"\ncause = "c"\nfixed_by = "f"\n[options]\nclients = 2\n'


def test_a_story_reads(tmp_path: Path) -> None:
    path = tmp_path / "0001-torn-header.toml"
    path.write_text(GOOD)
    story = read_story(path)
    assert (story.name, story.seed, story.options) == ("0001-torn-header", 7, {"clients": 2})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("torn.toml", GOOD, "torn.toml: a story is called NNNN-what-it-found.toml"),
        ("0001-a.toml", 'seed = 7\nsymptom = "s"\n', r"missing \['cause', 'fixed_by'\], unknown \[\]"),
        ("0001-a.toml", 'owner = "x"\n' + GOOD, r"missing \[\], unknown \['owner'\]"),
        ("0001-a.toml", "seed = = 7", "0001-a.toml: Invalid value"),
    ],
)
def test_a_bad_story_is_refused_by_name(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadStory, match=message):
        read_story(path)


def test_all_stories_read_and_are_numbered_once() -> None:
    numbers = [story.name[:4] for story in stories()]
    assert numbers == sorted(dict.fromkeys(numbers))
