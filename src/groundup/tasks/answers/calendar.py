"""Dates, times of day, weekdays and months in the ways people write them. 03/04/2024 is left alone: nobody knows which it is."""

from __future__ import annotations

import datetime
import re

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMES = {name[:n]: i for i, name in enumerate(MONTHS, start=1) for n in (3, len(name))} | {"sept": 9}
_DAYS = {name[:n]: i for i, name in enumerate(WEEKDAYS) for n in (3, len(name))} | {"tues": 1, "thur": 3, "thurs": 3}
_WEEKDAY = r"(?:(?P<weekday>[a-z]+)\.?,?\s+)?"
_FORMS = tuple(
    re.compile(form)
    for form in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        _WEEKDAY + r"(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:\s+of)?\s+(?P<month>[a-z]+)\.?,?(?:\s+(?P<year>\d{4}))?",
        _WEEKDAY + r"(?P<month>[a-z]+)\.?\s+(?:the\s+)?(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{4}))?",
    )
)
_NUMERIC = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")
_TIME = re.compile(r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*([ap])\.?\s?m\.?|(\d{1,2}):(\d{2})(?::(\d{2}))?")


def read_date(text: str) -> tuple[int | None, int, int] | None:
    """(year or None, month, day), or None where the text is no date that exists."""
    text = " ".join(text.casefold().split()).removeprefix("the ")
    for form in _FORMS:
        if match := form.fullmatch(text):
            named = match["month"]
            month = int(named) if named.isdigit() else _NAMES.get(named)
            weekday = match.groupdict().get("weekday")
            if month is None or (weekday and weekday not in _DAYS):
                continue
            year = int(match["year"]) if match["year"] else None
            return _existing(year, month, int(match["day"]), _DAYS[weekday] if weekday else None)
    if match := _NUMERIC.fullmatch(text):
        a, b, year = int(match[1]), int(match[2]), int(match[3])
        if a > 12 or a == b:
            return _existing(year, b, a, None)
        if b > 12:
            return _existing(year, a, b, None)
    return None


def _existing(year: int | None, month: int, day: int, weekday: int | None) -> tuple[int | None, int, int] | None:
    try:
        date = datetime.date(2000 if year is None else year, month, day)
    except ValueError:
        return None
    return None if weekday is not None and year is not None and date.weekday() != weekday else (year, month, day)


def read_time(text: str) -> int | None:
    """Seconds after midnight of a time with a colon or am/pm."""
    text = " ".join(text.casefold().split())
    match = _TIME.fullmatch({"noon": "12 pm", "midnight": "12 am"}.get(text, text))
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in (match.group(1, 2, 3) if match[4] else match.group(5, 6, 7)))
    if match[4]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[4] == "p" else 0)
    return hour * 3600 + minute * 60 + second if hour < 24 and minute < 60 and second < 60 else None


def read_weekday(text: str) -> int | None:
    """0 for Monday."""
    return _DAYS.get(text.casefold().strip().rstrip("."))


def read_month(text: str) -> int | None:
    """1 for January."""
    return _NAMES.get(text.casefold().strip().rstrip("."))
