"""How links stand, as JSON. Only what members are told of a single link has its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from registry.links.content.selectors import version_content
from registry.links.content.states import ContentChecks, ContentState, Evidence
from registry.links.models import LinkPolicy, PanelRow
from registry.links.outcomes import Outcome
from registry.links.states import LinkState
from registry.links.strata import Stratum

if TYPE_CHECKING:
    from registry.links.selectors import Health

_SHARES = "Share of all links of the version by state: what was drawn more densely counts for less"


class ShareOut(serializers.Serializer[Any]):
    """A share from 0 to 1, with the ends of its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class EstimateOut(serializers.Serializer[Any]):
    """Shares of all links of the version, estimated from the panel."""

    n = serializers.IntegerField(help_text="Links in the panel")
    hosts = serializers.IntegerField(help_text="Hosts that they lead to")
    alive = ShareOut()
    dead = ShareOut()
    unknown = ShareOut(help_text="Neither known to be alive nor to be dead")
    dead_at_least = serializers.FloatField(help_text="Lower end of the interval of what is dead")
    dead_at_most = serializers.FloatField(help_text="Upper end, were all that is unknown dead")


class StratumOut(EstimateOut):
    """The same of the links of one kind of domain."""

    kind = serializers.ChoiceField(choices=Stratum.choices)


class ContentHealthOut(serializers.Serializer[Any]):
    """How the content of links stands, as shares of all links of the version."""

    checks = serializers.ChoiceField(choices=ContentChecks.choices, help_text="How far content is read")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Links by state of content")
    shares = serializers.DictField(child=serializers.FloatField(), help_text=_SHARES)
    same = ShareOut(help_text="Identical, not modified, or looks the same")
    changed = ShareOut()
    replaced = ShareOut()
    unknown = ShareOut()
    replaced_at_least = serializers.FloatField()
    replaced_at_most = serializers.FloatField(help_text="Upper end, were all that is unknown replaced")
    read_first = serializers.DateTimeField(allow_null=True)
    read_last = serializers.DateTimeField(allow_null=True)


class HealthOut(serializers.Serializer[Any]):
    """How the links of a version stand."""

    drawn_at = serializers.DateTimeField(source="panel.drawn_at", help_text="When the panel was drawn")
    rows_read = serializers.IntegerField(source="panel.rows_read", help_text="Rows that it was drawn from")
    is_whole = serializers.BooleanField(help_text="The panel holds every link of the version")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Links by state")
    shares = serializers.DictField(child=serializers.FloatField(), help_text=_SHARES)
    estimate = EstimateOut(allow_null=True)
    strata = serializers.SerializerMethodField(help_text="By kind of domain, as far as the panel has any")
    opted_out = serializers.IntegerField(help_text="Links whose answer declares an opt-out")
    checked_first = serializers.DateTimeField(allow_null=True, help_text="The oldest of the last checks")
    checked_last = serializers.DateTimeField(allow_null=True)
    waiting = serializers.IntegerField(help_text="Links to be checked now that were not checked yet")
    vantage = serializers.CharField(help_text="From where links were asked")
    content = serializers.SerializerMethodField(help_text="Null where content is not read")

    @extend_schema_field(StratumOut(many=True))
    def get_strata(self, health: Health) -> list[dict[str, Any]]:
        """Return the estimate of each kind of domain."""
        return [{"kind": kind.value, **EstimateOut(one).data} for kind, one in health.strata.items()]

    @extend_schema_field(ContentHealthOut(allow_null=True))
    def get_content(self, health: Health) -> dict[str, Any] | None:
        """Return how content stands."""
        policy = LinkPolicy.objects.filter(dataset=health.panel.version.dataset_id).first()
        content = version_content(health.panel, policy)
        return dict(ContentHealthOut(content).data) if content else None


class PanelRowOut(serializers.ModelSerializer[PanelRow]):
    """One link of a panel, at the row that holds it; for members."""

    id = serializers.IntegerField(source="link_id", help_text="Of the link: the last part of its own address")
    path = serializers.CharField(help_text="Name of the shard")
    shard = serializers.CharField(source="shard_id", help_text="SHA-256 of the shard")
    key = serializers.SerializerMethodField(help_text="url.raw.sha256, hex")
    url = serializers.CharField(source="link.url", help_text="As the row has it")
    host = serializers.CharField(source="link.host.name")
    state = serializers.ChoiceField(source="link.state", choices=LinkState.choices)
    outcome = serializers.ChoiceField(
        source="link.outcome", choices=Outcome.choices, allow_blank=True, help_text="Of the last check"
    )
    status = serializers.IntegerField(source="link.status", help_text="HTTP status; 0: no answer")
    content = serializers.ChoiceField(choices=ContentState.choices)
    content_evidence = serializers.ChoiceField(
        choices=Evidence.choices, allow_blank=True, help_text="What that rests on"
    )
    ownership_changed = serializers.BooleanField(
        help_text="Its domain changed hands after the rows were collected"
    )
    opt_outs = serializers.ListField(child=serializers.CharField(), source="link.opt_outs")
    failures = serializers.IntegerField(source="link.failures")
    checked_at = serializers.DateTimeField(source="link.checked_at", allow_null=True)
    due_at = serializers.DateTimeField(source="link.due_at", allow_null=True)

    class Meta:
        model = PanelRow
        fields = [
            "id",
            "path",
            "shard",
            "row",
            "key",
            "url",
            "host",
            "state",
            "outcome",
            "status",
            "content",
            "content_evidence",
            "ownership_changed",
            "opt_outs",
            "failures",
            "checked_at",
            "due_at",
        ]

    def get_key(self, row: PanelRow) -> str:
        """Return the key in hex."""
        return bytes(row.link.key).hex()
