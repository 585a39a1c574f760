"""`>>` and `|`: how expressions group, flatten, print and refuse."""

from __future__ import annotations

import asyncio
from functools import partial, reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.trees import LEAVES, NAMES, AnyStep, expressions, leaves, pick
from tidyllm.core import Branch, Parallel, Sequence, step
from tidyllm.errors import StepError, TidyllmError

a, b, c, d = LEAVES.values()


def then(one: Any, other: Any) -> Any:
    return one >> other


def beside(one: Any, other: Any) -> Any:
    return one | other


def empty_branch() -> AnyStep:
    nothing: dict[bool, AnyStep] = {}
    return Branch(nothing, by=pick)


@given(st.lists(leaves(), min_size=2, max_size=7), st.data())
def test_then_is_associative(steps: list[AnyStep], data: st.DataObject) -> None:
    """However it is bracketed, it is one flat sequence with the same places."""
    bracketed = list(steps)
    while len(bracketed) > 1:
        at = data.draw(st.integers(0, len(bracketed) - 2))
        bracketed[at : at + 2] = [bracketed[at] >> bracketed[at + 1]]
    left: Any = reduce(then, steps)
    assert bracketed[0] == left
    assert left.steps == tuple(steps)
    assert asyncio.run(bracketed[0](1)) == asyncio.run(left(1))


@given(st.lists(leaves(), min_size=2, max_size=7))
def test_beside_flattens_to_the_left(steps: list[AnyStep]) -> None:
    left: Any = reduce(beside, steps)
    assert left.steps == tuple(steps)
    assert asyncio.run(left(1)) == tuple(asyncio.run(one(1)) for one in steps)


def test_beside_keeps_brackets_on_the_right() -> None:
    inner = b | c
    assert (a | inner).steps == (a, inner)
    assert asyncio.run((a | inner)(1)) == (asyncio.run(a(1)), asyncio.run(inner(1)))


def test_a_parallel_made_by_its_name_is_a_unit_beside_others() -> None:
    pair = Parallel(a, b)
    assert (pair | c).steps == (pair, c)
    assert (Parallel(a, b, limit=1) | c).steps == (Parallel(a, b, limit=1), c)
    assert ((a | b).named("pair") | c).steps[1:] == (c,)


def test_a_named_sequence_is_a_unit_of_its_own() -> None:
    tidy = (a >> b).named("tidy")
    assert (tidy >> c).steps == (tidy, c)
    assert Sequence(tidy, c >> d).steps == (tidy, c, d)
    assert repr(tidy >> c) == "Sequence(a, b, name='tidy') >> c"


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (a >> b >> c, "a >> b >> c"),
        (a >> (b >> c), "a >> b >> c"),
        (a >> b | c, "(a >> b) | c"),
        (a >> (b | c), "a >> (b | c)"),
        (a | b | c, "a | b | c"),
        (a | (b | c), "a | (b | c)"),
        (Parallel(a, b), "Parallel(a, b)"),
        (Parallel(a, b >> c, limit=2, collect=True), "Parallel(a, b >> c, limit=2, collect=True)"),
        (Parallel(left=a, right=b), "Parallel(left=a, right=b)"),
        (Parallel({"e-mail": a, "name": b}), "Parallel({'e-mail': a, 'name': b})"),
        (Sequence(a), "Sequence(a)"),
        (Branch({True: a >> b, False: c}, by=pick) >> d, "Branch({True: a >> b, False: c}, by=pick) >> d"),
        (Branch({1: a}, by=b, default=c, name="n"), "Branch({1: a}, by=b, default=c, name='n')"),
    ],
)
def test_repr_prints_the_expression_with_the_brackets_python_gave_it(expression: AnyStep, text: str) -> None:
    assert repr(expression) == text


@given(expressions())
def test_repr_read_back_is_the_same_step(expression: AnyStep) -> None:
    again = eval(repr(expression), dict(NAMES))
    assert again == expression
    assert hash(again) == hash(expression)
    assert repr(again) == repr(expression)


@given(expressions())
def test_equal_expressions_give_equal_answers(expression: AnyStep) -> None:
    again = eval(repr(expression), dict(NAMES))
    assert asyncio.run(again("x")) == asyncio.run(expression("x"))


@given(expressions(), expressions())
def test_expressions_that_print_differently_are_different(one: AnyStep, other: AnyStep) -> None:
    assert (repr(one) == repr(other)) == (one == other)


def double(x: int) -> int:
    return x * 2


@step
def inc(x: int) -> int:
    return x + 1


async def half(x: int) -> float:
    return x / 2


def test_functions_become_steps_on_either_side() -> None:
    assert asyncio.run((double >> inc >> half)(3)) == 3.5
    assert asyncio.run((double | inc | half)(4)) == (8, 5, 2.0)
    assert asyncio.run((inc | double)(4)) == (5, 8)
    assert asyncio.run((half >> step(lambda x: str(x)))(3)) == "1.5"  # noqa: PLW0108 - a lambda is the point


def test_what_can_be_called_can_be_a_step() -> None:
    async def power(exponent: int, x: int) -> int:
        return x**exponent

    assert asyncio.run((step(partial(power, 2)) >> str)(3)) == "9"
    assert repr(step(partial(power, 2)) >> str) == "power >> str"


@pytest.mark.parametrize("wrong", [5, None, "b", [a], {"b": b}])
def test_an_operand_that_is_no_step_is_a_type_error_that_names_both(wrong: object) -> None:
    anything: Any = wrong
    for use in (then, beside):
        with pytest.raises(TypeError, match=r"unsupported operand type.*AsyncFunction"):
            use(a, anything)
        with pytest.raises(TypeError, match=r"unsupported operand type.*AsyncFunction"):
            use(anything, a)


def two(x: int, y: int) -> int:
    return x + y


def nothing() -> int:
    return 1


@pytest.mark.parametrize("wrong", [two, nothing])
def test_a_function_of_other_arguments_is_refused_with_its_signature(wrong: Any) -> None:
    with pytest.raises(StepError, match=rf"{wrong.__name__}\(.*cannot be a step.*one argument"):
        _ = a >> wrong


@pytest.mark.parametrize("make", [Sequence, Parallel, empty_branch])
def test_combinators_of_nothing_are_refused(make: Any) -> None:
    with pytest.raises(TidyllmError, match="at least one"):
        make()


def test_other_kinds_of_steps_are_not_equal() -> None:
    assert (a >> b) != (a | b)
    assert (a | b) != a
    assert Branch({1: a}, by=pick) != a
    assert step(double) == step(double)
    assert step(double) != step(half)
    assert step(double).named("twice") != step(double)
