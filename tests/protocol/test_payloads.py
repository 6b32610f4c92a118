"""The decoder makes the user's type from the bytes of a payload; a misfit shows no value of the payload."""

from __future__ import annotations

import dataclasses
import sys
import traceback
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import msgspec
import pydantic
import pytest

from realtime_fsm import BadOption, Event, PayloadMisfit
from realtime_fsm.protocol import payloads

DIGITS = "0.1234567890123456789012345678901234567890"
LARGE = 2**70 + 1


class Colour(Enum):
    RED = "red"


class Line(msgspec.Struct):
    price: Decimal
    note: str = ""


class Order(msgspec.Struct):
    id: str = msgspec.field(name="$id")
    total: Decimal
    count: int
    weight: float = 0.0
    lines: list[Line] = []
    prefs: dict[str, int] = {}
    colour: Colour = Colour.RED
    first: Line | None = None


@dataclasses.dataclass
class OrderData:
    total: Decimal
    count: int
    prefs: dict[str, int] = dataclasses.field(default_factory=dict)


class OrderDict(TypedDict):
    total: Decimal
    count: int
    prefs: NotRequired[dict[str, int]]


class LineModel(pydantic.BaseModel):
    price: Decimal


class OrderModel(pydantic.BaseModel):
    id: str = pydantic.Field(default="", alias="$id")
    total: Decimal
    count: int
    weight: float = 0.0
    lines: list[LineModel] = []
    prefs: dict[str, int] = {}
    first: LineModel | None = None


@pydantic.dataclasses.dataclass
class OrderModelData:
    total: Decimal
    count: int
    prefs: dict[str, int] = dataclasses.field(default_factory=dict)


TYPES = (Order, OrderData, OrderDict, OrderModel, OrderModelData)
EACH_TYPE = pytest.mark.parametrize("wanted", TYPES)


def event(payload: str | bytes) -> Event:
    raw = msgspec.Raw(payload.encode() if isinstance(payload, str) else payload)
    return Event(raw, (), (), None, ["s1"])


def part(payload: Any, name: str) -> Any:
    return payload[name] if isinstance(payload, dict) else getattr(payload, name)


def misfit_of(payload: str | bytes, wanted: Any) -> PayloadMisfit:
    with pytest.raises(PayloadMisfit) as caught:
        event(payload).payload_as(wanted)
    return caught.value


# --- what fits --------------------------------------------------------------------------------------------------------


@EACH_TYPE
def test_a_payload_becomes_the_type_and_numbers_keep_their_digits(wanted: Any) -> None:
    input_ = event(f'{{"$id":"r1","total":{DIGITS},"count":{LARGE},"unknown":1e999}}')
    payload = input_.payload_as(wanted)
    assert isinstance(payload, dict if wanted is OrderDict else wanted)
    assert str(part(payload, "total")) == DIGITS
    assert part(payload, "count") == LARGE
    assert input_.payload["count"] == LARGE, "the dict is there as well"


@EACH_TYPE
def test_each_call_decodes_anew(wanted: Any) -> None:
    input_ = event('{"$id":"r1","total":1.5,"count":1}')
    first, second = input_.payload_as(wanted), input_.payload_as(wanted)
    assert first == second
    assert first is not second


@pytest.mark.parametrize("wanted", [dict, dict[str, Any], Any])
def test_a_dict_has_decimals_on_request(wanted: Any) -> None:
    input_ = event(f'{{"a":{DIGITS},"b":[2.50],"c":{LARGE},"d":1e999}}')
    exact = input_.payload_as(wanted, decimals=True)
    assert exact == {"a": Decimal(DIGITS), "b": [Decimal("2.50")], "c": LARGE, "d": Decimal("1e999")}
    assert str(exact["b"][0]) == "2.50"
    assert type(event('{"b":2.5}').payload_as(wanted)["b"]) is float


def test_a_tag_selects_the_struct_of_a_union() -> None:
    class Row(msgspec.Struct, tag_field="$tableId"):
        n: int

    class Customer(Row, tag="customers"):
        pass

    class Invoice(Row, tag="invoices"):
        pass

    assert event('{"$tableId":"invoices","n":1}').payload_as(Customer | Invoice) == Invoice(1)


def test_pydantic_decodes_a_union_of_models() -> None:
    class Other(pydantic.BaseModel):
        name: str

    annotated: Any = Annotated[Other, pydantic.Field()]
    for wanted in (OrderModel | Other, (OrderModel, Other), annotated):
        assert event('{"name":"a"}').payload_as(wanted) == Other(name="a")


def test_a_model_that_is_strict_reads_json_as_json() -> None:
    class Strict(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(strict=True)
        at: datetime
        key: UUID
        share: float
        total: Decimal
        rest: Any = None

    head = '{"at":"2026-11-23T16:00:00Z","key":"00000000-0000-0000-0000-000000000001","share":'
    payload = event(head + '0.5,"total":1.10,"rest":0.25}').payload_as(Strict)
    assert (payload.at.year, payload.key.int, payload.share, payload.total, payload.rest) == (2026, 1, 0.5, Decimal("1.1"), 0.25)
    assert event(head + f'{DIGITS},"total":1}}').payload_as(Strict).share == float(DIGITS), "its floats take no text"


def test_a_model_with_decimals_keeps_other_numbers() -> None:
    class Mixed(pydantic.BaseModel):
        total: Decimal
        rest: Any
        share: float

    payload = event('{"total":1.1,"rest":0.25,"share":0.5}').payload_as(Mixed)
    assert (payload.total, payload.rest, payload.share) == (Decimal("1.1"), 0.25, 0.5)


@EACH_TYPE
def test_an_empty_object_of_php_fits_an_object(wanted: Any) -> None:
    for empty in ("[]", "[ ]"):
        payload = event(f'{{"$id":"r1","total":{DIGITS},"count":1,"prefs":{empty}}}').payload_as(wanted)
        assert part(payload, "prefs") == {}
        assert str(part(payload, "total")) == DIGITS, "and the rest stays as it was written"


class Inner(msgspec.Struct):
    n: int = 0


class Outer(msgspec.Struct):
    many: list[Inner]
    named: dict[str, Inner]
    plain: list[int]
    pair: tuple[Inner | None, ...] = ()


class InnerModel(pydantic.BaseModel):
    n: int = 0


class OuterModel(pydantic.BaseModel):
    many: list[InnerModel]
    named: dict[str, InnerModel]
    plain: list[int]
    pair: tuple[InnerModel | None, ...] = ()


@pytest.mark.parametrize("wanted", [Outer, OuterModel])
def test_empty_arrays_become_objects_where_objects_fit(wanted: type[Outer | OuterModel]) -> None:
    input_ = event('{"many":[{"n":1},[],[]],"named":{"a":[],"b":{"n":2},"c":[]},"plain":[],"pair":[[],null]}')
    payload = input_.payload_as(wanted)
    assert [inner.n for inner in payload.many] == [1, 0, 0]
    assert {name: inner.n for name, inner in payload.named.items()} == {"a": 0, "b": 2, "c": 0}
    assert payload.plain == []
    assert payload.pair[0] is not None


def test_an_empty_payload_is_an_empty_object() -> None:
    class Nothing(msgspec.Struct):
        n: int = 7

    assert event("[]").payload_as(Nothing).n == 7
    assert event(" [ ]").payload_as(dict) == {}
    assert misfit_of("[]", Order).problem == "object missing required field `$id`"


# --- what does not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "path", "problem"),
    [
        ('{"total":1,"count":1}', "$", "object missing required field `$id`"),
        ('{"$id":7,"total":1,"count":1}', "$.$id", "expected `str`, got `int`"),
        ('{"$id":"r","total":1,"count":"hidden"}', "$.count", "expected `int`, got `str`"),
        ('{"$id":"r","total":"hidden","count":1}', "$.total", "invalid decimal string"),
        ('{"$id":"r","total":1,"count":1,"weight":1e999}', "$.weight", "number out of range"),
        ('{"$id":"r","total":1,"count":1,"lines":[{"price":1},{}]}', "$.lines[1]", "object missing required field `price`"),
        ('{"$id":"r","total":1,"count":1,"prefs":{"hidden":"hidden"}}', "$.prefs[...]", "expected `int`, got `str`"),
        ('{"$id":"r","total":1,"count":1,"prefs":["hidden"]}', "$.prefs", "expected `object`, got `array`"),
        ('{"$id":"r","total":1,"count":1,"lines":{}}', "$.lines", "expected `array`, got `object`"),
        ('{"$id":"r","total":1,"count":1,"colour":"hidden"}', "$.colour", "invalid enum value"),
        ('["hidden"]', "$", "expected `object`, got `array`"),
        ('"hidden"', "$", "expected `object`, got `str`"),
        (b'{"$id":"hidden\xff"}', "$", "the text is not valid JSON"),
        (b'{"$id":', "$", "the text is not valid JSON"),
    ],
)  # fmt: skip
def test_a_misfit_names_place_and_problem_and_shows_no_value(payload: str | bytes, path: str, problem: str) -> None:
    misfit = misfit_of(payload, Order)
    assert (misfit.wanted, misfit.path, misfit.problem) == (Order, path, problem)
    assert str(misfit) == f"the payload does not fit Order at {path}: {problem}"
    assert "hidden" not in "".join(traceback.format_exception(misfit))
    assert "hidden" not in repr(misfit)
    assert (misfit.__cause__, misfit.__context__) == (None, None)
    assert misfit.event.subscriptions == ("s1",)


@pytest.mark.parametrize(
    ("payload", "path", "problem"),
    [
        ('{"count":1}', "$.total", "missing"),
        ('{"total":1,"count":"hidden"}', "$.count", "int_parsing"),
        ('{"total":1,"count":1,"lines":[{"price":1},{"price":"hidden"}]}', "$.lines[1].price", "decimal_parsing"),
        ('{"total":1,"count":1,"prefs":{"hidden":"hidden"}}', "$.prefs[...]", "int_parsing"),
        ('{"total":1,"count":1,"prefs":["hidden"]}', "$.prefs", "dict_type"),
        ('"hidden"', "$", "model_type"),
        (b'{"$id":"hidden\xff"}', "$", "json_invalid"),
    ],
)
def test_a_misfit_of_pydantic_names_place_and_problem_and_shows_no_value(payload: str | bytes, path: str, problem: str) -> None:
    misfit = misfit_of(payload, OrderModel)
    assert (misfit.wanted, misfit.path, misfit.problem) == (OrderModel, path, problem)
    assert "hidden" not in "".join(traceback.format_exception(misfit))
    assert (misfit.__cause__, misfit.__context__) == (None, None)


class Odd:
    """A type without a schema."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(cls.check)

    @staticmethod
    def check(value: Any) -> Any:
        raise ValueError(value)


def test_a_model_without_a_schema_shows_no_field_name() -> None:
    class Holder(pydantic.BaseModel):
        odd: Odd

    misfit = misfit_of('{"odd":"hidden"}', Holder)
    assert (misfit.path, misfit.problem) == ("$[...]", "value_error")


@dataclasses.dataclass
class Checked:
    how: Literal["value", "key"]

    def __post_init__(self) -> None:
        raise (ValueError if self.how == "value" else KeyError)(f"hidden {self.how}")


class CheckedModel(pydantic.BaseModel):
    how: str

    @pydantic.field_validator("how")
    @classmethod
    def check(cls, how: str) -> str:
        raise (ValueError if how == "value" else KeyError)(f"hidden {how}")


@pytest.mark.parametrize(
    ("wanted", "how", "problem"),
    [
        (Checked, "value", "a check of the type raised ValueError"),
        (Checked, "key", "a check of the type raised KeyError"),
        (CheckedModel, "value", "value_error"),
        (CheckedModel, "key", "a check of the type raised KeyError"),
    ],
)
def test_a_failing_check_is_a_misfit(wanted: Any, how: str, problem: str) -> None:
    misfit = misfit_of(f'{{"how":"{how}"}}', wanted)
    assert misfit.problem == problem
    assert "hidden" not in "".join(traceback.format_exception(misfit))


def test_a_list_that_a_check_refuses_is_not_taken_for_an_object() -> None:
    class Numbers(pydantic.RootModel[list[int]]):
        @pydantic.field_validator("root")
        @classmethod
        def check(cls, root: list[int]) -> list[int]:
            raise KeyError(root)

    assert misfit_of("[]", Numbers).problem == "a check of the type raised KeyError"


class Known(msgspec.Struct, forbid_unknown_fields=True):
    n: int = 0


class Tagged(msgspec.Struct, tag=True):
    n: int = 0


@pytest.mark.parametrize(
    ("wanted", "payload", "problem"),
    [
        (Known, '{"hidden":1}', "object contains unknown field"),
        (Tagged, '{"type":"hidden"}', "invalid value"),
        (dict[Literal["a"], int], '{"hidden":1}', "invalid enum value"),
        (dict[str, Known], '{"a":[],"b":["hidden"]}', "expected `object`, got `array`"),
    ],
)
def test_a_value_that_msgspec_quotes_is_hidden(wanted: Any, payload: str, problem: str) -> None:
    misfit = misfit_of(payload, wanted)
    assert misfit.problem == problem
    assert "hidden" not in str(misfit)


def test_the_step_into_a_part_of_a_union_leads_nowhere() -> None:
    class Holder(pydantic.BaseModel):
        either: LineModel | list[OrderModel] | int

    misfit = misfit_of('{"either":7.5}', Holder)
    assert misfit.path.startswith("$.either")
    misfit = misfit_of('{"either":"hidden"}', Holder)
    assert (misfit.path, misfit.problem) == ("$.either[...]", "model_type")


# --- types that cannot be decoded -------------------------------------------------------------------------------------


class Opaque:
    pass


@dataclasses.dataclass
class Holding:
    parts: dict[str, list[Opaque]]


@dataclasses.dataclass
class HoldingModel:
    part: LineModel | None = None


class Tree(msgspec.Struct):
    left: Tree | None = None
    kids: list[Tree] = []


class Flat(msgspec.Struct, array_like=True):
    n: int


@dataclasses.dataclass
class Unresolved:
    n: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Opaque, "Opaque cannot be decoded"),
        (Holding, "Holding cannot be decoded: no JSON value becomes a Opaque"),
        (HoldingModel, "LineModel is a pydantic model inside of another type"),
        (list[OrderModel], "OrderModel is a pydantic model inside of another type"),
        (int, "int cannot be decoded: a payload is an object"),
        (tuple[Order], "tuple"),
        (Flat, "Flat cannot be decoded: a payload is an object"),
        (Unresolved, "Nowhere"),
        (Known | Order, "tagged"),
        ("Order", "'Order' cannot be decoded"),
        (7, "7 cannot be decoded"),
    ],
)
def test_a_type_that_no_json_fits_is_refused_by_name(wanted: Any, said: str) -> None:
    with pytest.raises(BadOption) as caught:
        event("{}").payload_as(wanted)
    assert caught.value.option == "payload"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "wanted", [Tree, Order | None, Annotated[Order, "a note"], Annotated[Order, msgspec.Meta(extra={"a": 1})], msgspec.Raw, dict]
)
def test_a_recursive_or_wrapped_type_is_accepted(wanted: Any) -> None:
    assert event('{"$id":"r","total":1,"count":1}').payload_as(wanted)


def test_a_list_is_accepted_for_the_events_of_the_live_tail() -> None:
    tail = event('[{"$id":"r","total":1,"count":1}]')
    (first,) = tail.payload_as(list[Order])
    assert (first.count, tail.payload_as(list[Order] | dict)[0].count) == (1, 1)
    assert event('{"delivered":52}').payload_as(list[Order] | dict) == {"delivered": 52}


def test_a_decoder_is_made_once() -> None:
    assert payloads.payload_decoder(Order) is payloads.payload_decoder(Order)
    assert payloads.payload_decoder(Order) is not payloads.payload_decoder(Order, decimals=True)


def test_the_number_of_decoders_is_bounded() -> None:
    first = payloads.payload_decoder(Order)
    for others, kept in ((255, True), (256, False)):
        for number in range(others):
            payloads.payload_decoder(msgspec.defstruct(f"Made{number}", [("n", int)]))
        assert (payloads.payload_decoder(Order) is first) is kept


def test_a_type_without_a_hash_is_decoded() -> None:
    unhashable: Any = Annotated[dict[str, int], []]
    assert event('{"a":1}').payload_as(unhashable) == {"a": 1}


def test_without_pydantic_types_pydantic_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pydantic")
    new = msgspec.defstruct("New", [("n", int)])
    assert payloads.payload_decoder(new).decode(b'{"n":2}') == new(2)
    assert "pydantic" not in sys.modules
