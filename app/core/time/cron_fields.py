"""The six fields of a cron expression: their names, bounds and words."""

from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Field:
    """What one field may hold. `slot_high` bounds the slots `H` may choose."""

    name: str
    low: int
    high: int
    words: dict[str, int] = field(default_factory=dict, hash=False)
    slot_high: int = -1

    @property
    def allowed(self) -> str:
        """Say what is allowed, for error messages."""
        words = list(self.words)
        names = f" or {words[0]} to {words[-1]}" if words else ""
        return f"{self.low} to {self.high}{names}"


_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]

SECOND_FIELD: Final = Field("second", 0, 59, slot_high=59)
MINUTE_FIELD: Final = Field("minute", 0, 59, slot_high=59)
HOUR_FIELD: Final = Field("hour", 0, 23, slot_high=23)
# A slot beyond the 28th would leave out February.
DAY_FIELD: Final = Field("day-of-month", 1, 31, slot_high=28)
MONTH_FIELD: Final = Field(
    "month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}, slot_high=12
)
WEEKDAY_FIELD: Final = Field(
    "day-of-week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}, slot_high=6
)
"""Sunday is both 0 and 7."""

FIELDS: Final = (
    SECOND_FIELD,
    MINUTE_FIELD,
    HOUR_FIELD,
    DAY_FIELD,
    MONTH_FIELD,
    WEEKDAY_FIELD,
)

NICKNAMES: Final = {
    "@HOURLY": "0 * * * *",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@WEEKLY": "0 0 * * 0",
    "@MONTHLY": "0 0 1 * *",
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
}
