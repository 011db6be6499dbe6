"""What is done with a case, one file for each part of its way."""

from takedowns.cases.services.claim import case_claim, case_claim_next, case_release_claim
from takedowns.cases.services.decision import case_approve, case_executed, case_propose, case_return
from takedowns.cases.services.intake import case_merge, case_open
from takedowns.cases.services.items import item_mark
from takedowns.cases.services.location import case_locate, case_locate_run

__all__ = [
    "case_approve",
    "case_claim",
    "case_claim_next",
    "case_executed",
    "case_locate",
    "case_locate_run",
    "case_merge",
    "case_open",
    "case_propose",
    "case_release_claim",
    "case_return",
    "item_mark",
]
