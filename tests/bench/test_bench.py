"""Test the benchmarks: real events, detected losses, and an honest report."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import run
from bench.events import SIZES, distinct, event, row_channels, row_names
from bench.hotspots import Profile
from bench.load import Load
from bench.measure import Series, interleave
from bench.picture import picture
from bench.report import Section, Target, document, figure
from bench.streams import CANDIDATES, check
from support.recording import load

LOAD = Load(run=1, size=400, warm_up=3, count=2)


def sent(*numbers: int) -> list[object]:
    return [json.loads(event(400, number, ["s1"]))["payload"] for number in numbers]


def test_names_and_channels_match_the_recording() -> None:
    data = next(step.frame["data"] for step in load("05-events-real-emitter") if step.frame.get("type") == "event")
    assert row_names("db1", "t1", "r1", "create") == data["events"]
    assert row_channels("db1", "t1", "r1", "create") == data["channels"]


@pytest.mark.parametrize("size", SIZES.values())
def test_event_has_size_and_number(size: int) -> None:
    first, last = event(size, 0, ["s1"]), event(size, distinct(size) - 1, ["s1"])
    assert len(b'{"type":"event","data":}' + first) == len(b'{"type":"event","data":}' + last) == size
    assert json.loads(first)["payload"]["n"] + distinct(size) - 1 == json.loads(last)["payload"]["n"]


def test_load_travels_as_channel() -> None:
    assert Load.from_channel(LOAD.channel) == LOAD
    assert Load.from_channel("rows") is None


def test_check_finds_wrong_events() -> None:
    assert check(LOAD, sent(0, 1, 2), every=True) is None
    assert check(LOAD, sent(4), every=False) is None
    for wrong in (sent(0, 1), sent(0, 1, 1), sent(0, 2, 1), [*sent(0, 1), {"n": 100_002}]):
        assert check(LOAD, wrong, every=True) is not None
    assert check(LOAD, sent(3), every=False) is not None


def test_rounds_alternate_their_order() -> None:
    order: list[str] = []

    def turn(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleave(3, {name: partial(turn, name) for name in "ab"})
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert found == {"a": Series((1.0, 4.0, 5.0)), "b": Series((2.0, 3.0, 6.0))}
    assert (found["a"].best, found["a"].median) == (1.0, 4.0)


def test_missed_target() -> None:
    fast, slow = Series((1.0, 2.0)), Series((4.0, 4.0))
    assert Target.ratio("slow over fast", slow, fast, 3.9).cells() == [
        "slow over fast", "4.00 (2.67) x", "<= 3.9 x", "**not met**"
    ]  # fmt: skip
    assert Target.ratio("slow over fast", slow, fast, 4).met
    assert not Target.ratio("slow over fast", slow, fast, 4.1, at_least=True).met
    assert Target("bytes", 2_000, 1_000, "KB").cells()[1:] == ["2,000 KB", "<= 1,000 KB", "**not met**"]


def test_significant_digits() -> None:
    assert [figure(value) for value in (0.404, 12.34, 123.4, 51_738.2)] == ["0.40", "12.3", "123", "51,738"]


def test_report_holds_tables_targets_and_profiles() -> None:
    section = Section("Costs", "How.", ["us", "here"], [["one", "1.00"]], [Target("one", 2, 1)], {"one": "hot"})
    section.figures = {"a": {"one": 1.0}}
    text = document([section], "costs.svg")
    for part in ("| one | 1.00 |", "**not met**", "```text\nhot\n```", "](costs.svg)"):
        assert part in text


def test_profile_names_functions_without_folders() -> None:
    with Profile() as profile:
        Series((1.0, 2.0)).median.as_integer_ratio()
    assert "measure.py" in profile.text
    assert str(Path(__file__).parents[1]) not in profile.text


def test_picture_shows_every_figure() -> None:
    drawn = picture("Costs", {"1 KB": {"we & co": 2.5, "they": 130.0}, "2 KB": {"we & co": 5.0, "they": 1_300.0}}, ["we & co"])
    drawing = ElementTree.fromstring(drawn)  # noqa: S314  (our own text)
    texts = [element.text for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Costs", "1 KB", "2 KB", "we & co", "they", "2.50", "130", "5.00", "1,300"} <= set(texts)


def test_candidates_have_names_and_ours_runs() -> None:
    assert CANDIDATES["ours"].missing is CANDIDATES["b"].missing is None
    assert len({candidate.name for candidate in CANDIDATES.values()}) == len(CANDIDATES)


def test_command_writes_the_chosen_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.main(["--quick", "--only", "audit", "--write", str(tmp_path)])
    assert "realtime.transition" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "targets are met" in capsys.readouterr().out
