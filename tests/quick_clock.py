"""Beat with the clock of the links alone, and quick: what the real one does every 15 seconds it does every second.

python -m celery -A tests.quick_clock beat
"""

from __future__ import annotations

from registry.celery import app

_TASK = "registry.links.tasks.links_wake"
app.conf.beat_schedule = {"links_wake": {"task": _TASK, "schedule": 1.0, "options": {"expires": 5}}}
