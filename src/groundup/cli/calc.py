"""`groundup calc`: work out an expression, without running it as a program."""

from __future__ import annotations

import click

from .output import json_option, print_json


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("expression", nargs=-1, required=True)
@json_option
def command(expression: tuple[str, ...], as_json: bool) -> None:
    """Work out EXPRESSION: + - * / // % ^ !, brackets, functions and constants, with exact whole numbers.

    \b
    Examples:
      groundup calc "2*(3+4)^2"
      groundup calc "sqrt(2) + ln(e)" --json
    """
    from ..foundations.calculator import calculate, written

    text = " ".join(expression)
    value = calculate(text)
    if as_json:
        exact = (
            value if not isinstance(value, int) or value.bit_length() < 10_000 else None
        )  # json writes no longer ones
        print_json({"expression": text, "value": exact, "text": written(value)})
    else:
        click.echo(written(value))
