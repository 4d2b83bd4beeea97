"""Several deployments of one hosted model behind litellm's Router, which shares the load and sets failing ones aside.

The Router's own retries and fallbacks are off: the one retry policy stands around this backend as around any other.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.faults import Where
from tfgrpo.backends.litellm import LiteLLM
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import Transient
from tfgrpo.errors import EndpointError, ProviderError

COOLDOWN = 30.0
"""Seconds for which a deployment that failed is left alone."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place that serves the model."""

    model: str
    """`provider/model` as litellm writes it."""
    url: str | None = None
    key: str | None = None
    weight: float = 1.0


class Routed(LiteLLM):
    """A backend for one model at several deployments, drawn by weight for each call."""

    def __init__(
        self,
        model: str,
        deployments: Sequence[Deployment],
        *,
        price: Price | None = None,
        timeout: float = 600.0,
        cooldown: float = COOLDOWN,
    ) -> None:
        """Remember the deployments; litellm is not imported before the first call.

        Args:
            model: what all of them are called together.
            deployments: at least one.
            price: the most that any of them charges; None is unknown.
            timeout: seconds for one request, from start to the last byte.
            cooldown: seconds for which a failing deployment gets no calls.
        """
        super().__init__(model=model, price=price, timeout=timeout)
        self._deployments = tuple(deployments)
        self._cooldown = cooldown
        self._router: Any = None
        self._dead: EndpointError | None = None
        """Why the deployment that failed last can never answer."""

    def __repr__(self) -> str:
        return f"Routed({', '.join(d.url or d.model for d in self._deployments)})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nothing that is kept or shown may hold."""
        return tuple(d.key for d in self._deployments if d.key)

    def price(self, model: str) -> Price | None:
        """Return what replies are charged at, or None when that is unknown for any deployment."""
        del model
        return self._set_price

    async def _send(self, litellm: ModuleType, **given: Any) -> Any:
        # What litellm's own types say to pydantic is nothing to our users.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            from litellm.types.router import RouterRateLimitError  # noqa: PLC0415 - loaded by now

            self._router = self._router or self._made(litellm)
        try:
            answered = await self._router.acompletion(**given)
        except RouterRateLimitError:
            if self._dead is not None:
                raise self._dead from None
            said = f"all {len(self._deployments)} deployments of {self._model} are set aside after failures"
            raise Transient(said, retry_after=self._cooldown) from None
        self._dead = None
        return answered

    def _made(self, litellm: ModuleType) -> Any:
        """The Router, with its own retries and fallbacks off."""
        return litellm.Router(
            model_list=[self._entry(deployment) for deployment in self._deployments],
            routing_strategy="simple-shuffle",
            num_retries=0,
            max_fallbacks=0,
            allowed_fails=0,
            cooldown_time=self._cooldown,
            timeout=self._timeout,
        )

    def _error(self, where: Where, error: Exception, body: dict[str, Any], dialect: Dialect) -> ProviderError:
        found = super()._error(where, error, body, dialect)
        if not isinstance(found, EndpointError):
            return found
        # One deployment is out, and the Router has set it aside: the next try meets another, while there is one.
        self._dead = found
        return Transient(str(found))

    def _entry(self, deployment: Deployment) -> dict[str, Any]:
        place = {"api_base": deployment.url, "api_key": deployment.key}
        return {
            "model_name": self._model,
            "litellm_params": {
                "model": deployment.model,
                "weight": deployment.weight,
                "max_retries": 0,
                **{name: value for name, value in place.items() if value is not None},
            },
        }
