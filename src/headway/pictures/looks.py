"""How each state looks: one symbol, one set of colours, in every format.

Nobody has to tell colours apart: the word of the state stands beside its symbol, and what has
not happened has a dashed border. Hues are blue, amber, bluish green, vermilion, purple and
grey, which stay apart for people who see red and green alike. Each ink has a contrast of at
least 4.5 to 1 on its own fill and on white; a test works that out.
"""

from dataclasses import dataclass

from headway.jobs.states import JobState, Verdict

BACKGROUND = "#ffffff"
TITLE_INK = "#1b2430"
NAME_INK = "#1b2430"
NOTE_INK = "#4a5563"
EDGE = "#7b8794"
EDGE_TROUBLE = "#c4320a"
PANEL_FILL = "#f8f9fb"
PANEL_LINE = "#d3d9e0"


@dataclass(frozen=True, slots=True)
class Look:
    """Colours as #rrggbb; `icon` is an SVG path in a square of 16 by 16, drawn as strokes."""

    symbol: str  # for text: one column wide
    icon: str
    fill: str
    line: str  # border and badge
    ink: str  # the state's word
    ansi: str  # parameters of the terminal's colour sequence
    dashed: bool = False
    strong: bool = False  # a heavier border: look here first
    hollow: bool = False  # the badge is a ring instead of a disc


_CHECK = "M4.6 8.3 7.1 10.8 11.6 5.6"
_CROSS = "M5.3 5.3 10.7 10.7M10.7 5.3 5.3 10.7"
_PLAY = "M6.6 5 11 8 6.6 11Z"
_CLOCK = "M8 4.4V8L10.6 9.6"
_BAR = "M4.4 8H11.6"
_SLASH = "M5 11 11 5"
_EXCLAMATION = "M8 4.2V8.6M8 11.3V11.7"
_QUESTION = "M5.9 6.3A2.1 2.1 0 1 1 8.9 8.1Q8 8.6 8 9.4M8 11.6V11.9"
_DOTS = "M4.7 8H4.9M7.9 8H8.1M11.1 8H11.3"
_ARROW = "M4.4 8H11.2M8.6 5.2 11.4 8 8.6 10.8"
_WAVE = "M4.2 9Q6.1 5.6 8 8T11.8 7"

LOOKS: dict[JobState | Verdict, Look] = {
    JobState.PENDING: Look("○", "", "#f5f6f8", "#6f7a87", "#4f5a67", "2", hollow=True),
    JobState.RUNNING: Look("▶", _PLAY, "#deefff", "#0a66c2", "#084d94", "1;34", strong=True),
    JobState.WAITING: Look("◷", _CLOCK, "#fff3d1", "#a36a00", "#704900", "33"),
    JobState.PASSED: Look("✓", _CHECK, "#f2fbf8", "#12866a", "#0a624c", "32", hollow=True),
    JobState.REPAIRED: Look("✔", _CHECK, "#cff1e4", "#0a7558", "#07563f", "1;32"),
    JobState.FAILED: Look("✗", _CROSS, "#ffe1d8", "#c4320a", "#972205", "1;31", strong=True),
    JobState.BLOCKED: Look("⊘", _SLASH, "#f6f1ee", "#85695a", "#634a3d", "31", True, hollow=True),
    JobState.OVERDUE: Look("!", _EXCLAMATION, "#ffe8cc", "#b85400", "#833a00", "1;33", strong=True),
    JobState.IN_DOUBT: Look("?", _QUESTION, "#f4e6fb", "#8638ad", "#662487", "1;35", strong=True),
    JobState.CANCELLED: Look("–", _BAR, "#eceef1", "#4b5561", "#3c4550", "2", True),
    Verdict.DONE: Look("✓", _CHECK, "#d9f4ea", "#0a7558", "#07563f", "32"),
    Verdict.WILL_RUN: Look("→", _ARROW, "#deefff", "#0a66c2", "#084d94", "1;34", strong=True),
    Verdict.UNKNOWN: Look("…", _DOTS, "#f5f6f8", "#6f7a87", "#4f5a67", "2", True, hollow=True),
    Verdict.NOT_CHECKABLE: Look("~", _WAVE, "#fff3d1", "#a36a00", "#704900", "33"),
}

TROUBLE = frozenset(
    {JobState.FAILED, JobState.OVERDUE, JobState.IN_DOUBT, JobState.BLOCKED, JobState.CANCELLED}
)
