"""A DSPy module with a language model, validation and metrics of its own. It knows how one call goes, no backends."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import dspy

from tidyllm import clock
from tidyllm.dspy.ambient import scope
from tidyllm.dspy.foreign import within
from tidyllm.dspy.meter import ModuleMetrics, metered
from tidyllm.dspy.validation import advised, wrong_with
from tidyllm.errors import BadAnswer

if TYPE_CHECKING:
    from tidyllm.core import Budget
    from tidyllm.dspy.configs import ValidationConfig

__all__ = ["UnifiedModule"]


class _Around:
    """What stands around each call of a module. Shared by its copies: optimisers make many."""

    def __init__(
        self,
        name: str,
        lm: Callable[[], Any],
        validation: ValidationConfig | None,
        budget: Budget | None,
        metrics: ModuleMetrics,
    ) -> None:
        self.name = name
        self.lm = lm
        self.validation = validation
        self.budget = budget
        self.metrics = metrics

    def __deepcopy__(self, memo: object) -> _Around:
        return self

    @contextmanager
    def call(self) -> Generator[None, None, None]:
        """One call, counted."""
        started, failed = clock.monotonic(), True
        try:
            with ExitStack() as stack:
                # One run, so that DSPy's threads inside belong to it, too.
                stack.enter_context(scope(budget=self.budget))
                stack.enter_context(metered(self.metrics))
                lm = self.lm()
                if lm is not None:
                    stack.enter_context(within(lm=lm))
                yield
            failed = False
        finally:
            self.metrics.called(clock.monotonic() - started, failed=failed)

    def judged(self, prediction: Any, tries: int) -> str | None:
        """What is wrong with an answer that may be asked for again; None for a good one.

        :raises BadAnswer: it is wrong, and it was asked for often enough.
        """
        if self.validation is None:
            return None
        wrong = wrong_with(prediction, self.validation)
        if wrong is None:
            return None
        self.metrics.sent_back()
        if tries > self.validation.retries:
            raise BadAnswer(
                f"module {self.name!r}: the answer is not as it was wanted after {tries} tries: {wrong}",
                hint="Loosen ValidationConfig, or say in the signature what is wanted.",
            )
        return wrong


class UnifiedModule(dspy.Module):
    """`inner` with what a `UnifiedDSPyWrapper` puts around it. Made by the wrapper; optimise, save and load it as any
    module.

    A call raises what its model raises, and `BadAnswer` for an answer that fails validation again.
    """

    def __init__(self, inner: Any, around: _Around) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - DSPy has no types
        self.inner = inner
        self.around = around

    @property
    def name(self) -> str:
        """By which the wrapper knows it."""
        return self.around.name

    @property
    def metrics(self) -> ModuleMetrics:
        """What it has used so far, its copies included."""
        return self.around.metrics

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """One call of the module."""
        around, inner, tries = self.around, self.inner, 0
        with around.call():
            while True:
                prediction = inner(*args, **kwargs)
                tries += 1
                wrong = around.judged(prediction, tries)
                if wrong is None:
                    return prediction
                inner = advised(self.inner, wrong)

    async def aforward(self, *args: Any, **kwargs: Any) -> Any:
        """One call of the module; where it has no `aforward` it runs in a thread."""
        around, inner, tries = self.around, self.inner, 0
        with around.call():
            while True:
                run = inner.acall if hasattr(inner, "aforward") else dspy.asyncify(inner)
                prediction = await run(*args, **kwargs)
                tries += 1
                wrong = around.judged(prediction, tries)
                if wrong is None:
                    return prediction
                inner = advised(self.inner, wrong)


def unified(
    inner: Any,
    name: str,
    lm: Callable[[], Any],
    validation: ValidationConfig | None,
    budget: Budget | None,
) -> UnifiedModule:
    """`inner` with all that around it."""
    return UnifiedModule(inner, _Around(name, lm, validation, budget, ModuleMetrics()))
