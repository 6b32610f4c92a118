"""``realtime-fsm explain``: each word has a meaning, and an unknown one its neighbours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from realtime_fsm import errors
from realtime_fsm.audit.decoding import KINDS as CAUSES
from realtime_fsm.audit.report import Verdict
from realtime_fsm.audit.rules import RULES
from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.auditlog.schema import FIELDS, KINDS
from realtime_fsm.cli.explain import run
from realtime_fsm.cli.main import _parser, main
from realtime_fsm.cli.words import Meaning, by_kind, explain
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.notes import NOTES
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.remedies import REMEDIES
from support.commands import result_of
from support.some import some
from support.wholelog import LOSS, edited, write

WORDS_OF_STATES = by_kind()["states"]
WORDS = {kind: {meaning.word for meaning in meanings} for kind, meanings in by_kind().items()}


@pytest.fixture(autouse=True)
def _full_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold the texts as for a file, whatever the width of the terminal that runs the tests."""
    monkeypatch.delenv("COLUMNS", raising=False)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("rules", {row.id for row in TABLE.rows}),
        ("states", set(TABLE.states)),
        ("triggers", set(TABLE.triggers)),
        ("guards", set(GUARDS)),
        ("effects", set(EFFECTS)),
        ("notes", set(NOTES)),
        ("causes", CAUSES - {errors.LinkFailure.kind} | {RETIRED}),
        ("errors", set(REMEDIES)),
        ("records", {kind.event for kind in KINDS}),
        ("fields", set(FIELDS)),
        ("findings", set(RULES)),
        ("verdicts", {verdict.word for verdict in Verdict}),
        ("figures", {"availability", "mtbf", "mttr"}),
        ("codes", {"0", "1003", "1006", "1008", "1009", "1013", "401", "403", "429", "500", "503"}),
    ],
)
def test_each_word_of_a_kind_has_a_meaning(kind: str, words: set[str]) -> None:
    assert WORDS[kind] == words
    assert all(meaning.means for meaning in some(by_kind()[kind]))
    assert list(explain(kind)) == by_kind()[kind]


@pytest.mark.parametrize("kind", ["states", "causes", "errors", "findings"])
def test_an_operator_gets_advice(kind: str) -> None:
    assert [meaning.word for meaning in by_kind()[kind] if not meaning.advice] == ([RETIRED] if kind == "causes" else [])


def test_a_rule_is_explained_by_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "sub58")
    row = next(row for row in TABLE.rows if row.id == "sub58")
    for fact in ("sub58 (rule)", row.why, "subscribed: ", "lost: ", "asked after  sub57", "may_retry: ", "schedule_retry: "):
        assert fact in told
    assert "same rule    con58 uns58 pin58" in told
    assert "what to do   Wait: the connection dials as the retry policy says." in told


@pytest.mark.parametrize(
    ("word", "kind", "facts"),
    [
        ("rec3", "rule", {
            "from": ["reconnecting: getting a link"], "on": ["subscribe: You want to listen to some channels."], "to": ["stays"],
        }),
        ("disposing", "state", {
            "kind": ["the end"],
            "holds": ["one socket, until it is closed"],
            "comes from": [f"{state}: dispose()" for state in TABLE.states if state != "disposing"],
        }),
        ("reconnect", "trigger", {
            "comes from": ["user"],
            "rules": [
                "disconnected: dis10", "reconnecting: rec11", "connected: con12", "subscribed: sub12", "unsubscribed: uns12",
                "ping: pin12", "error: err10", "disposing: ignored. Nothing follows the end.",
            ],
        }),
        ("ping_enabled", "guard", {"rules": [row.id for row in TABLE.rows if "ping_enabled" in row.guards]}),
        ("clear_closing", "effect", {"rules": ["end80"]}),
        ("switch_ping", "note", {"triggers": ["ping_switched"]}),
        ("stream_ended", "cause", {"error": ["StreamEnded"]}),
        ("pong_overdue", "cause", {"error": ["Overdue"]}),
        ("StreamEnded", "error", {"is a": ["LinkFailure", "RealtimeError"], "as a cause": ["stream_ended"]}),
        ("LinkFailure", "error", {"is a": ["RealtimeError"]}),
        ("RealtimeError", "error", {}),
        ("realtime.ping", "record", {"fields": ["round_trip: seconds from the ping to its answer"]}),
        ("realtime.close", "record", {}),
        ("source", "field", {"in": ["realtime.transition"]}),
        ("link", "field", {"in": ["every record"]}),
        ("secret", "finding", {"weight": ["violation"]}),
        ("inconclusive", "verdict", {"exit code": ["3"]}),
        ("mtbf", "figure", {}),
        ("500", "code", {}),
    ],
)  # fmt: skip
def test_a_word_comes_with_its_facts(word: str, kind: str, facts: dict[str, list[str]]) -> None:
    (meaning,) = [each for each in explain(word) if each.kind == kind]
    assert (meaning.word, meaning.facts) == (word, facts)


def test_a_meaning_has_its_facts_in_a_column_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "streamended") == (
        "StreamEnded (error)\n"
        "  The stream ended, and no error frame came directly before. `close_code` is 1006 if no close frame\n"
        "  arrived.\n"
        "  is a         LinkFailure RealtimeError\n"
        "  as a cause   stream_ended\n"
        "  what to do   Nothing: the client dials again. Where it happens often, look for a proxy that ends\n"
        "               idle connections.\n"
        "\n"
    )
    lines = said(capsys, "sub58").splitlines()
    assert [line[:15].strip() for line in lines[2:-1] if line[2] != " "] == [
        "from", "on", "asked after", "if", "does", "to", "same rule", "what to do",
    ]  # fmt: skip


def test_several_words_in_any_case_and_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, "ERROR_FRAME", "retriesexhausted", "71", "ping")
    for fact in ("error_frame (cause)", "RetriesExhausted (error)", "pin71 (rule)", "ping (state)", "ping (field)"):
        assert fact in told
    assert "``" not in told
    assert max(map(len, told.splitlines())) <= 100


def test_a_number_of_a_rule_means_the_rule_in_each_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert [meaning.word for meaning in explain("58")] == ["con58", "sub58", "uns58", "pin58"]
    assert "con58: The link ended" in said(capsys, "58")


@pytest.mark.parametrize(("word", "repeats"), [("seq", True), ("inconclusive", True), ("cut", False)])
def test_the_advice_on_repeated_records_is_how_to_leave_them_out(word: str, repeats: bool) -> None:
    assert any("awk '!seen[$0]++'" in meaning.advice for meaning in explain(word)) is repeats


def test_without_a_word_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys)
    for kind, words in WORDS.items():
        assert f"{kind:<9} {len(words):>3}  " in told


def test_a_kind_is_listed_with_its_first_six_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_fsm.cli.explain.by_kind", lambda: {f"{n}s": WORDS_OF_STATES[:n] for n in (5, 6, 7)})
    lines = said(capsys).splitlines()
    assert lines[1:] == [
        "",
        "5s          5  disconnected, reconnecting, connected, subscribed, unsubscribed",
        "6s          6  disconnected, reconnecting, connected, subscribed, unsubscribed, ping",
        "7s          7  disconnected, reconnecting, connected, subscribed, unsubscribed, ping, ...",
    ]


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    told = msgspec.json.decode(said(capsys, "sub58", "ping", "--format", "json"), type=list[Meaning])
    assert told == [*explain("sub58"), *explain("ping")]
    listed = json.loads(said(capsys, "--format", "json"))
    assert {kind: set(words) for kind, words in listed.items()} == WORDS


@pytest.mark.parametrize(
    ("word", "near"), [("sub59x", "sub59"), ("stream_end", "stream_ended"), ("RetryExhausted", "RetriesExhausted")]
)
def test_an_unknown_word_is_refused_with_its_neighbours(word: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "sub58", word]) == 2
    told = capsys.readouterr()
    assert told.out == "", "one unknown word leaves no output"
    assert told.err.startswith(f"realtime-fsm: WORD: {word!r} is not known; near are {near}")
    with pytest.raises(errors.BadOption):
        run(_parser().parse_args(["explain", word]))


def test_the_five_nearest_words_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "sub5x"]) == 2
    told = capsys.readouterr().err.partition("near are ")[2]
    assert len(told.split(", ")) == 5


def test_a_word_without_neighbours_leads_to_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "x\x1b[2J"]) == 2
    told = capsys.readouterr().err
    assert "without a word, the command lists the kinds of words" in told
    assert "\x1b" not in told


def test_the_report_of_an_audit_leads_to_the_words_of_its_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", edited(LOSS, attempt=7, cause="pong_overdue", row="sub58"))
    assert main(["audit", log]) == 1
    told = re.search(r"for more: realtime-fsm explain (.*)", capsys.readouterr().out)
    assert told is not None
    assert told[1] == "attempt sub58 pong_overdue"
    assert "pong_overdue (cause)" in said(capsys, *told[1].split())
    log = write(tmp_path / "log", edited(LOSS, cause="$(reboot)", row="; reboot"))
    assert main(["audit", log]) == 1
    assert "realtime-fsm explain row\n" in capsys.readouterr().out


def test_bash_completes_the_words() -> None:
    pytest.importorskip("shtab")
    printed = result_of("--print-completion", "bash").stdout
    assert all(
        f" {word} " in printed.replace("(", " ").replace(")", " ").replace("'", " ")
        for word in ("sub58", "stream_ended", "RetriesExhausted")
    )


@pytest.mark.parametrize("words", [(), ("sub58",), ("seq",), ("conformant",)])
def test_the_answer_fits_the_terminal(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, said(capsys, *words).splitlines())) <= 60
