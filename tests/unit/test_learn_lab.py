"""What a lab is made with: predictions, figures beside their bands, questions; without a page."""

from __future__ import annotations

import html
import json
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from marimo._runtime.control_flow import MarimoStopError

from groundup.cli.main import cli
from groundup.core.errors import ConfigError
from groundup.learn.lab import BUDGET, CHOICE, HEADLESS, Lab
from groundup.learn.progress import Progress

pytestmark = pytest.mark.row("L.4")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv(HEADLESS, "1")
    return Lab("9.9", title="A lab", seconds=20)


def words_of(callout: object) -> str:
    """What marimo's callout says: its page's text is JSON in an attribute."""
    return html.unescape(callout.text).encode("ascii").decode("unicode_escape")  # type: ignore[attr-defined]


def slider_of(form: object) -> object:
    return form.element  # type: ignore[attr-defined]


def test_a_prediction_is_its_middle_where_nobody_predicts(lab: Lab) -> None:
    assert lab.predict("how many?", low=0, high=20, step=0.1).value == 10.0
    assert lab.predict("how many?", low=-12, high=2, step=0.1).value == -5.0


def test_a_logarithmic_prediction_moves_by_ratios(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.predict("how many?", low=10, high=100_000, log=True).value == 1000
    monkeypatch.delenv(HEADLESS)
    steps = slider_of(lab.predict("how many?", low=1, high=1000, log=True)).steps  # type: ignore[attr-defined]
    assert steps[0] == 1 and steps[-1] == 1000 and steps == sorted(set(steps))
    ratios = [b / a for a, b in pairwise(steps)]
    assert max(ratios) < 1.2


def test_a_slider_begins_on_one_of_its_steps(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HEADLESS)
    slider = slider_of(lab.predict("how many?", low=0.1, high=20, step=0.1))
    assert f"{slider.value}" in ("10.0", "10.1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("low", "high", "log"), [(2, 1, False), (0, 10, True), (-1, 10, True)])
def test_a_prediction_without_room(lab: Lab, low: float, high: float, log: bool) -> None:
    with pytest.raises(ConfigError, match="low < high"):
        lab.predict("how many?", low=low, high=high, log=log)


def test_a_figure_is_told_beside_its_band_and_the_guess(lab: Lab) -> None:
    guess = lab.predict("how many?", low=0, high=100_000)
    said = words_of(
        lab.compare("steps_of_momentum", 34_539, band=(34_000, 35_100), guess=guess, below="low.", above="high.")
    )
    assert "<strong>steps of momentum: 34,539</strong>" in said
    assert "expected 34,000 to 35,100. You said 50,000: 45 % away." in said
    figure = lab.figures["steps_of_momentum"]
    assert figure.inside and figure.guess == 50_000


@pytest.mark.parametrize(("value", "told"), [(1.0, "Too few."), (3.0, "Too many.")])
def test_a_figure_outside_is_told_why(lab: Lab, value: float, told: str) -> None:
    said = words_of(lab.compare("count", value, band=(1.5, 2.5), below="Too few.", above="Too many.", unit="things"))
    assert not lab.figures["count"].inside
    assert f"count: {value:g} things" in said and told in said


def test_the_budget_scales_what_is_heavy(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.scaled(300) == 300
    monkeypatch.setenv(BUDGET, "5")
    assert lab.scaled(300) == 75 and lab.scaled(300, 200) == 200


QUESTION = {"right": "four", "wrong": ["three", "five"], "why": "Two and two."}


def choose(radio: object, option: str) -> None:
    """As the page does, which sends the option's place."""
    radio._update(option)  # type: ignore[attr-defined]


def test_a_question_has_one_right_answer(lab: Lab) -> None:
    for wrong in ([], ["four"], ["three", "three"]):
        with pytest.raises(ConfigError, match=r"sum.*one right answer"):
            lab.ask("sum", "2 + 2?", **{**QUESTION, "wrong": wrong})  # type: ignore[arg-type]


def test_the_right_answer_stands_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HEADLESS, raising=False)
    places = set()
    for number in range(30):
        asked = Lab(f"{number}.1", title="A lab", seconds=20).ask("sum", "2 + 2?", **QUESTION)  # type: ignore[arg-type]
        again = Lab(f"{number}.1", title="A lab", seconds=20).ask("sum", "2 + 2?", **QUESTION)  # type: ignore[arg-type]
        assert list(asked.options) == list(again.options)
        places.add(list(asked.options).index("four"))
    assert places == {0, 1, 2}


def test_it_is_finished_when_all_is_compared_and_answered(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(HEADLESS)
    monkeypatch.setenv("GROUNDUP_HOME", str(tmp_path))
    guess = lab.predict("how many?", low=0, high=10)
    asked = lab.ask("sum", "2 + 2?", **QUESTION)  # type: ignore[arg-type]
    with pytest.raises(MarimoStopError):
        lab.wait_for(guess)
    assert "Choose one" in lab.finish(sum=asked).text and not lab.finished
    choose(asked, "three")
    assert "Not that one" in lab.finish(sum=asked).text and not lab.finished
    choose(asked, "four")
    assert "every prediction is compared" in lab.finish(sum=asked).text and not lab.finished
    guess._update(4.0)
    lab.wait_for(guess)
    lab.compare("sum", 4, band=(4, 4), guess=guess, below="", above="")
    lab.compare("sum", 4, band=(4, 4), below="", above="")  # as it was, after a change and back
    assert "Two and two" in lab.finish(sum=asked).text and lab.finished
    assert Progress().names("lab") == {"9.9"}
    lab.ask("product", "2 * 2?", **QUESTION)  # type: ignore[arg-type]
    assert "every question is answered right" in lab.finish(sum=asked).text


def test_another_option_is_chosen_where_nobody_chooses(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab.choose("Change:", ["a", "b", "c"], default="b").value == "b" and lab.choices == {"Change:": 3}
    monkeypatch.setenv(CHOICE, "5")
    assert lab.choose("Change:", ["a", "b", "c"], default="b").value == "c"


def test_the_command_takes_another_option() -> None:
    told = CliRunner().invoke(cli, ["lab", "3.2", "--headless", "--budget", "6s", "--choice", "2", "--json"])
    assert told.exit_code == 0, told.output
    names = {figure["name"] for figure in json.loads(told.output)["figures"]}
    assert names == {"bytes_per_token", "bytes_per_token_o200k"}
    assert CliRunner().invoke(cli, ["lab", "3.2", "--choice", "2"]).exit_code == 2
