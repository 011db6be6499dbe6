"""What this site cannot take yet, and where to turn instead.

Material that is guarded or sealed needs storage and handling of its own. Until that exists, a report of such a kind
is answered and nothing of it is kept: not its addresses, not that it was sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from takedowns.reports.models import Sensitivity

if TYPE_CHECKING:
    from takedowns.reports.models import Category

_ANSWERS = {
    "child_safety": (
        "Do not send us the address, and do not save or share the material. Report it to the hotline of your "
        "country: the list is at https://www.inhope.org under “Report here”. Hotlines take reports without a "
        "name, have the right to look, and have the material taken down where it lies. In an emergency call "
        "the police."
    ),
    "intimate_image": (
        "If you are in the picture and were an adult when it was taken, https://stopncii.org makes a "
        "fingerprint of it on your own device, without sending it, and has it blocked on many services. If you "
        "were under 18, use the hotline of your country, listed at https://www.inhope.org. You can also write "
        "to the maintainer of the dataset; do not attach the picture."
    ),
    "privacy": (
        "Write to the organisation that maintains the dataset, named on its page, and ask for erasure. In the "
        "European Union it must answer within one month; if it does not, your data protection authority takes "
        "a complaint without charge."
    ),
    "copyright": (
        "Send your notice to the organisation that maintains the dataset, named on its page: say which work it "
        "is, where it is in the dataset, how to reach you, and that you act in good faith. If you only want "
        "your own work left out, report it here as an opt-out."
    ),
}
_OTHERWISE = "Write to the organisation that maintains the dataset, named on its page."


def refusal(category: Category) -> str | None:
    """Return what to tell someone who wants to report this here, or None where a report is taken."""
    if category.sensitivity == Sensitivity.OPEN:
        return None
    answer = _ANSWERS.get(category.slug, _OTHERWISE)
    return (
        f"This site does not yet take reports of this kind: {category.label.lower()}. "
        f"Nothing that you sent was kept. {answer}"
    )


def where_to_turn(category: Category) -> str:
    """Return the same advice without the refusal, for showing before anybody writes anything."""
    return _ANSWERS.get(category.slug, _OTHERWISE)
