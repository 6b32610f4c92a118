"""Every kind of record is a value: nothing changes it once it is built."""

from __future__ import annotations

import pytest

from realtime_fsm.auditlog.records import RECORDS, Record


@pytest.mark.parametrize("kind", [Record, *RECORDS], ids=lambda kind: kind.__name__)
def test_a_record_is_frozen_and_takes_its_fields_by_name(kind: type[Record]) -> None:
    config = kind.__struct_config__
    assert config.frozen
    with pytest.raises(TypeError):
        kind(1)  # type: ignore[call-arg]
