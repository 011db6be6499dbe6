"""What is said about cases: acts in the history, and states as the reporter reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.lib.words import counted
from takedowns.cases.states import CaseState
from takedowns.reports.models import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from takedowns.cases.models import Case

_ACTS = {
    "case_open": "Opened",
    "own_initiative_open": "Opened on our own initiative",
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
    Outcome.REDACT: "attention",
    Outcome.REJECT: "neutral",
    Outcome.INVALID: "quiet",
    Outcome.DUPLICATE: "quiet",
    Outcome.NOT_FOUND: "quiet",
}


def effect_in_words(rows: int, redacted_rows: int, remove: str = "removes", redact: str = "redacts") -> str:
    """Say what a decision does: "removes 3 rows, redacts cells of 2 rows"; `remove` and `redact` are the verbs."""
    removes = [f"{remove} {counted(rows, 'row')}"] if rows or not redacted_rows else []
    redacts = [f"{redact} cells of {counted(redacted_rows, 'row')}"] if redacted_rows else []
    return ", ".join(removes + redacts)


def consequence_in_words(case: Case, rows: int, redacted_rows: int) -> str:
    """Say what a case does, will do or did, by how far it is: "Removes 3 rows", "Will remove 3 rows", "Removed 3 rows"."""
    if case.state in {CaseState.EXECUTED, CaseState.CLOSED}:
        words = effect_in_words(rows, redacted_rows, "removed", "redacted")
    elif case.decided_at:
        words = effect_in_words(rows, redacted_rows, "will remove", "will redact")
    else:
        words = effect_in_words(rows, redacted_rows)
    return words[0].upper() + words[1:]


def act_in_words(action: str, data: Mapping[str, Any]) -> tuple[str, str]:
    """Return what an entry of the log says, and its detail, for people; an act this file does not know is named as it is."""
    what = _ACTS.get(action, action.replace("_", " ").capitalize())
    if action == "case_open":
        return what, f"for {data['report']}, {counted(data['items'], 'item')}"
    if action == "own_initiative_open":
        found = counted(data["links"], "link") if "links" in data else counted(data["domains"], "domain")
        return what, f"{found} of {data['version']}: {data['finding'].replace('_', ' ')}"
    if action == "case_located":
        rows = counted(data["rows"] + data.get("redacted_rows", 0), "row")
        return what, f"{rows} in {data['affected']} of {counted(data['versions'], 'version')}"
    if action == "item_mark":
        act = {Outcome.REJECT: "to be kept", Outcome.REDACT: "to be redacted"}.get(
            data["outcome"], "mark taken off"
        )
        return what, f"{counted(data['items'], 'item')}: {act}"
    if action == "case_merge":
        return what, f"{counted(data['reports'], 'report')} moved to {data['into']}"
    if action in {"case_propose", "case_approve"}:
        # Entries that were made before there were redactions have no such figure, here and below.
        return what, effect_in_words(data["rows"], data.get("redacted_rows", 0))
    if action == "removal_create":
        keys = counted(data["keys"] + data.get("redactions", 0), "key")
        rows = counted(data["rows"] + data.get("redacted_rows", 0), "row")
        return what, f"{keys}, {rows} in {counted(data['versions'], 'version')}"
    if action == "removal_publish":
        return what, data["advisory"]
    if action == "removal_affects":
        return what, counted(data["rows"] + data.get("redacted_rows", 0), "row")
    return what, ""
