"""What is said about cases: acts in the history, and states as the reporter reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.lib.words import counted
from takedowns.cases.states import CaseState
from takedowns.reports.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

_ACTS = {
    "case_open": "Opened",
    "case_claim": "Claimed",
    "case_release_claim": "Claim released",
    "case_locate": "Asked to locate the items again",
    "case_located": "Items located",
    "item_mark": "Items marked",
    "case_merge": "Merged into another case",
    "case_propose": "Decision proposed",
    "case_return": "Proposal returned",
    "case_approve": "Decision approved by a second person",
    "case_executed": "Carried out: every affected version has a clean release",
    "removal_create": "Removal recorded",
    "removal_publish": "Advisory published",
    "removal_affects": "Rows found in a version registered later",
}

# How a state looks, as the design's meanings have it.
STATE_MEANING = {
    CaseState.OPEN: "neutral",
    CaseState.IN_REVIEW: "neutral",
    CaseState.PROPOSED: "attention",
    CaseState.DECIDED: "good",
    CaseState.EXECUTED: "good",
    CaseState.CLOSED: "neutral",
}
OUTCOME_MEANING = {
    Outcome.PENDING: "neutral",
    Outcome.REMOVE: "attention",
    Outcome.REJECT: "neutral",
    Outcome.INVALID: "quiet",
    Outcome.DUPLICATE: "quiet",
    Outcome.NOT_FOUND: "quiet",
}


def act_in_words(action: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """Return what an entry of the log says, and its detail, for people; an act this file does not know is named as it is."""
    what = _ACTS.get(action, action.replace("_", " ").capitalize())
    if action == "case_open":
        return what, f"for {data['report']}, {counted(data['items'], 'item')}"
    if action == "case_located":
        return (
            what,
            f"{counted(data['rows'], 'row')} in {data['affected']} of {counted(data['versions'], 'version')}",
        )
    if action == "item_mark":
        act = "to be kept" if data["outcome"] == Outcome.REJECT else "mark taken off"
        return what, f"{counted(data['items'], 'item')}: {act}"
    if action == "case_merge":
        return what, f"{counted(data['reports'], 'report')} moved to {data['into']}"
    if action in {"case_propose", "case_approve"}:
        return what, f"removes {counted(data['rows'], 'row')}"
    if action == "removal_create":
        return (
            what,
            f"{counted(data['keys'], 'key')}, {counted(data['rows'], 'row')} in {counted(data['versions'], 'version')}",
        )
    if action == "removal_publish":
        return what, data["advisory"]
    if action == "removal_affects":
        return what, counted(data["rows"], "row")
    return what, ""
