"""The picture of the demonstration: the same for every run, and another one where the demonstration changes."""

from __future__ import annotations

import re

from support.picture import demo_picture, picture, steady

SHOWN = """\
  0.03 s  server  listens at http://127.0.0.1:{port}/v1
  {moment} s  state   subscribed -> reconnecting: getting a link, because the stream ended
  9.73 s  state   reconnecting -> connected: the link is up

The audit log: {folder}/demo-audit.jsonl (23 records)"""


def test_port_folder_and_moments_are_fixed() -> None:
    one = steady(SHOWN.format(port=36787, moment="0.15", folder="/home/bob"))
    assert one == steady(SHOWN.format(port=40001, moment="2.00", folder="/home/ada/work"))
    assert re.findall(r"^ +([\d.]+) s", one, re.MULTILINE) == ["0.01", "0.02", "1.52"]
    assert one.endswith("The audit log: demo-audit.jsonl (23 records)")


def test_another_text_is_another_picture() -> None:
    assert picture(steady(SHOWN)) != picture(steady(SHOWN.replace("23 records", "24 records")))


def test_it_shows_the_demonstration() -> None:
    drawn = demo_picture()
    assert drawn.count(">event</text>") == 4
    assert "127.0.0.1:8080" in drawn
    assert re.search(r"demo-audit\.jsonl \(\d+ records\)", drawn)
