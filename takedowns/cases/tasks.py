"""What workers do for cases: the handler of each kind of job."""

from registry.jobs.handlers import register
from takedowns.cases.services import case_locate_run

register("case_locate", case_locate_run)
