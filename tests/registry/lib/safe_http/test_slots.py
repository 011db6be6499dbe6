from __future__ import annotations

import asyncio

import pytest

from registry.lib.safe_http.slots import Slots


def test_who_gives_up_as_another_leaves_takes_no_slot_along() -> None:
    async def run() -> None:
        slots = Slots(1)
        assert slots.takes()
        waits = asyncio.create_task(slots.wait())
        await asyncio.sleep(0)
        waits.cancel()
        slots.leave()  # before the one who gave up had his turn
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert slots.takes()
        assert not slots.takes()

    asyncio.run(run())


def test_a_slot_that_was_given_back_already_is_not_handed_on_again() -> None:
    async def run() -> None:
        slots = Slots(1)
        assert slots.takes()
        waits = asyncio.create_task(slots.wait())
        await asyncio.sleep(0)
        slots.overdraw()
        slots.leave()
        await asyncio.sleep(0)
        assert not waits.done()
        slots.leave()
        await asyncio.wait_for(waits, 1)

    asyncio.run(run())
