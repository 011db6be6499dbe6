"""A site with something on every page: a published release, and a case in every state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils import timezone

from registry.datasets.models import LineageKind, Version, VersionStatus
from registry.jobs.models import Job, JobState
from registry.jobs.services import job_run
from registry.links.distributions.models import Distribution, DistributionKind
from registry.links.domains.census import hosts_enrol
from registry.links.domains.models import Domain, DomainState
from registry.links.history import observations_write, partitions_ahead
from registry.links.models import Host, Link, RobotsFile
from registry.links.panel import panel_draw
from registry.links.states import LinkState
from registry.links.tasks import links_check  # noqa: F401  -- the module says how its jobs are done
from takedowns.cases import services
from tests.factories import make_dataset, make_edge, make_organisation, make_version
from tests.factories_takedowns import make_case, make_proposed, make_removal, make_report

if TYPE_CHECKING:
    from registry.datasets.models import Dataset
    from takedowns.cases.models import Case
    from takedowns.releases.models import Release
    from tests.factories_takedowns import Team
    from tests.takedowns.released import Setting


@dataclass(frozen=True)
class Stock:
    """What the tests go to. `public` and `staff` map a page's name to its path, for every kind of page."""

    team: Team
    dataset: Dataset
    proposed: Case
    public: dict[str, str]
    staff: dict[str, str]


def make_stock(setting: Setting, release: Release) -> Stock:
    """Add to a dataset with a published release all else that pages show."""
    team, dataset, base = setting.team, setting.dataset, setting.base
    child = make_version(make_dataset(team.organisation, "subset"), "a-subset")
    make_edge(base, child)
    make_edge(child, make_version(make_dataset(make_organisation()), "of-others"), LineageKind.DERIVED_FROM)
    draft = Version.objects.create(
        dataset=dataset,
        name="2026-06-01",
        dated="2026-06-01",
        status=VersionStatus.DRAFT,
        status_reason="part-0.parquet: the file is cut after 4,096 bytes.",
    )
    waiting = make_dataset(team.organisation, "waiting")
    many = [f"https://img.example.com/{number}.jpg" for number in range(1_000)]
    cases = {
        "open": make_case(dataset, ["https://other.example.com/1.jpg"]),
        "proposed": make_case(dataset, ["https://other.example.com/3.jpg", "https://nowhere.example.com/"]),
        "in review": make_case(dataset, [*many, "not a line", many[0], f"cell:text {many[1]}"]),
        "decided": make_removal(team, make_version(waiting, "2026-01-01").dataset).case,
        "closed": setting.removal.case,
    }
    make_proposed(team, cases["proposed"])
    services.case_claim(actor=team.maintainer, case=cases["in review"])
    _, secret = make_report(
        dataset, ["https://other.example.com/5.jpg", "not a line"], contact_email="a@example.org"
    )
    failed, running = (_job_like(Job.objects.first(), state) for state in (JobState.FAILED, JobState.RUNNING))
    done = Job.objects.get(kind="release_publish") if Job.objects.filter(kind="release_publish") else None

    def of_dataset(page: str, *more: str) -> str:
        return reverse(page, args=[dataset.slug, *more])

    advisory = setting.removal
    advisory.refresh_from_db()
    assert advisory.advisory_id
    _with_links(setting, base)
    watched = _watched(setting)
    each_link = reverse("version_link_rows", args=[watched.dataset.slug, watched.name])
    dead = watched.panel.panel_rows.filter(link__state=LinkState.DEAD).order_by("link").first()
    assert dead
    public = {
        "home": reverse("home"),
        "search that finds": reverse("search") + "?q=set",
        "search that finds nothing": reverse("search") + "?q=zzz",
        "datasets": reverse("dataset_list"),
        "dataset": of_dataset("dataset_detail"),
        "version": of_dataset("version_detail", base.name),
        "links": of_dataset("version_links", base.name),
        "links since another version": reverse("version_links", args=[watched.dataset.slug, watched.name]),
        "host": reverse("host_detail", args=["h1.example.com"]),
        "host whose opt-out file is looked for": reverse("host_detail", args=["h7.example.com"]),
        "who asks for links": reverse("about_links"),
        "places": reverse("version_distributions", args=[watched.dataset.slug, watched.name]),
        "dataset with places": reverse("dataset_detail", args=[watched.dataset.slug]),
        "release": of_dataset("release_detail", release.version.name),
        "advisories": reverse("advisory_list"),
        "advisory": reverse("advisory_detail", args=[advisory.advisory_id]),
        "transparency": reverse("transparency"),
        "report form": f"{reverse('report_create')}?dataset={dataset.slug}",
        "report received": reverse("report_received", args=[secret]),
        "status": reverse("report_status", args=[secret]),
        "sign in": reverse("sign_in"),
        "no such page": "/no-such-page/",
    }
    staff = {
        "queue": reverse("queue"),
        "queue without a match": reverse("queue") + "?q=zzz",
        **{f"case {state}": reverse("case_detail", args=[case.number]) for state, case in cases.items()},
        "case in review": reverse("case_detail", args=[cases["in review"].number]) + "?items=21",
        "jobs": reverse("job_list"),
        "job failed": reverse("job_detail", args=[failed.pk]),
        "job running": reverse("job_detail", args=[running.pk]),
        "dataset to create": reverse("dataset_create"),
        "version to register": of_dataset("version_create"),
        "draft": of_dataset("version_detail", draft.name),
        "links of a draft": of_dataset("version_links", draft.name),
        "domains of links": reverse("version_link_domains", args=[watched.dataset.slug, watched.name]),
        "domains of links without a match": reverse(
            "version_link_domains", args=[watched.dataset.slug, watched.name]
        )
        + "?q=zzz",
        "dataset whose links are checked": reverse("dataset_detail", args=[watched.dataset.slug]),
        "hosts of links": reverse("version_link_hosts", args=[watched.dataset.slug, watched.name]),
        "hosts of links without a match": reverse(
            "version_link_hosts", args=[watched.dataset.slug, watched.name]
        )
        + "?q=zzz",
        "each link": each_link,
        "each dead link of a host": f"{each_link}?state=dead&host=h1.example.com",
        "each link without a match": f"{each_link}?q=zzz",
        "a link": f"{each_link}{dead.link_id}/",
        "links of a watched version": reverse("version_links", args=[watched.dataset.slug, watched.name]),
        "host for members": reverse("host_detail", args=["h1.example.com"]),
        "case about dead links": reverse("own_initiative", args=[watched.dataset.slug, watched.name, "dead"]),
        "places for members": reverse("version_distributions", args=[watched.dataset.slug, watched.name]),
        "case about nothing": reverse(
            "own_initiative", args=[watched.dataset.slug, watched.name, "replaced"]
        ),
        "case about a domain": reverse(
            "own_initiative_domain", args=[watched.dataset.slug, watched.name, "example.de"]
        ),
        "host of a domain that changed hands": reverse("host_detail", args=["h9.example.de"]),
        "draft to read again": of_dataset("version_retry", draft.name),
        "version that waits for a release": reverse("version_detail", args=[waiting.slug, "2026-01-01"]),
        "lineage to record": of_dataset("lineage_create"),
        "account": reverse("account"),
        "organisation": reverse("organisation_detail", args=[team.organisation.slug]),
    }
    if done:
        staff["job done"] = reverse("job_detail", args=[done.pk])
    return Stock(team, dataset, cases["proposed"], public, staff)


def _watched(setting: Setting) -> Version:
    """Two versions of a dataset whose links are checked, the newer one without some of the dead ones; a case names one."""
    dataset = make_dataset(setting.team.organisation, "watched", name="A watched set")
    kinds = ["de" if number % 9 == 0 else "com" for number in range(400)]
    urls = [f"https://h{number % 60}.example.{kind}/{number}.jpg" for number, kind in enumerate(kinds)]
    dead = set(urls[::7])
    versions = [
        make_version(
            dataset, name, {"0.csv": [{"url": url} for url in listed]}, dated=name, columns={"url": "url"}
        )
        for name, listed in (
            ("2024-01-01", urls[:300]),
            ("2025-01-01", [url for url in urls if url not in dead or url in urls[150:]]),
        )
    ]
    for version in versions:
        job_run(panel_draw(actor=setting.team.maintainer, version=version, size=200).pk)
    now = timezone.now()
    Link.objects.filter(url__in=urls).update(state=LinkState.ALIVE, outcome="ok", status=200, checked_at=now)
    Link.objects.filter(url__in=dead).update(
        state=LinkState.DEAD, outcome="not_found", status=404, failures=3, opt_outs=["noai"]
    )
    long = versions[1].panel.panel_rows.filter(link__state=LinkState.DEAD).order_by("link").first()
    assert long
    Link.objects.filter(pk=long.link_id).update(
        url=f"https://h1.example.com/{'large/' * 60}1.jpg", target="https://elsewhere.example.com/"
    )
    partitions_ahead(now)
    checks = [(long.link_id, now - timedelta(seconds=n), "not_found", 404, 1_200) for n in range(25)]
    observations_write(checks, now)
    h1 = Host.objects.get(name="h1.example.com")
    RobotsFile.objects.create(host=h1, origin="https://h1.example.com", status=200, asked_at=now)
    Host.objects.filter(name="h7.example.com").update(opt_out_asked_at=now)
    for link in (long.link, Link.objects.filter(url__in=urls, state=LinkState.ALIVE).order_by("pk")[0]):
        Distribution.objects.create(version=versions[1], link=link, kind=DistributionKind.MIRROR)
    hosts_enrol()
    Domain.objects.update(state=DomainState.PRESENT, checked_at=now)
    Domain.objects.filter(name="example.de").update(registered_at=now)
    return versions[1]


def _with_links(setting: Setting, version: Version) -> None:
    """Draw the version's links, some of them dead, moved or not to be told."""
    job_run(panel_draw(actor=setting.team.maintainer, version=version, size=1_000).pk)
    links, now = list(Link.objects.order_by("pk")), timezone.now()
    for link, state in zip(
        links, (LinkState.DEAD, LinkState.MOVED, LinkState.FAILING, LinkState.ALIVE), strict=False
    ):
        Link.objects.filter(pk=link.pk).update(state=state, failures=3, checked_at=now, opt_outs=["noai"])


def _job_like(job: Job | None, state: JobState) -> Job:
    """A job in a state that the real worker would soon leave."""
    assert job is not None
    now = timezone.now()
    return Job.objects.create(
        organisation=job.organisation,
        kind=f"test_{state.value}",
        subject_id=job.subject_id,
        title=f"Reading a version that is {state.label.lower()}",
        state=state,
        stage="Reading part-0.parquet",
        rows_done=81_204,
        rows_total=200_000,
        attempt=1,
        started_at=now - timedelta(minutes=1),
        heartbeat_at=now,
        error="part-0.parquet: the file is cut after 4,096 bytes." if state is JobState.FAILED else "",
        finished_at=now if state is JobState.FAILED else None,
    )
