"""What a network is made for: pictures of one size, or texts over one vocabulary; and checks that configs share."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Pictures:
    height: int
    width: int
    channels: int
    num_labels: int

    @property
    def numbers(self) -> int:
        """Of one picture."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, kw_only=True)
class Texts:
    vocab_size: int
    """Numbers 0 (padding) and 1 (unknown words) included."""
    num_labels: int


PADDING, UNKNOWN = 0, 1


def at_least_one(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"must be at least 1, not {getattr(config, name)}", path=name)


def a_share(config: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {getattr(config, name)}", path=name)
