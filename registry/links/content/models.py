"""What is known of the content of links, as hashes, and of the origins that content is read from. Never content itself."""

from __future__ import annotations

from django.db import models

from registry.links.content.states import ContentState, Evidence
from registry.links.models import Host, Link


class LinkContent(models.Model):
    """How the content of one link stands (`content/states.py`). Only where a dataset's maintainer turned content on.

    Of a link that is excluded no more is kept in `first` and `last` than a hash by which it is.
    """

    link = models.OneToOneField(Link, on_delete=models.CASCADE, primary_key=True, related_name="content")
    state = models.CharField(max_length=14, choices=ContentState, default=ContentState.UNKNOWN)
    evidence = models.CharField(max_length=14, choices=Evidence, blank=True)
    first = models.JSONField(null=True, help_text="What it is compared with: kind, length, hashes")
    last = models.JSONField(null=True, help_text="What was read last, likewise")
    body = models.BinaryField(
        max_length=32,
        null=True,
        help_text="SHA-256 of the last beginning: of many links of a host it is no content",
    )
    reads = models.PositiveIntegerField(
        default=0, help_text="Every fourth one ignores what a server calls unmodified"
    )
    suspect_at = models.DateTimeField(null=True, help_text="Since when it looks replaced")
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=ContentState.values), name="content_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(evidence="") | models.Q(evidence__in=Evidence.values),
                name="content_evidence_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="replaced") | models.Q(suspect_at__isnull=False),
                name="content_replaced_was_suspect",
            ),
        ]
        indexes = [
            # Whether the same is seen under other URLs.
            models.Index(fields=["body"], condition=models.Q(body__isnull=False), name="content_body"),
        ]

    def __str__(self) -> str:
        return f"content of {self.link_id}"


class OriginSignature(models.Model):
    """What an origin of a host answers where nothing is, and what it reserves by TDMRep: asked for before any content of it.

    As its robots.txt, both hold for that scheme, host and port alone.
    """

    id = models.BigAutoField(primary_key=True)
    # Without an index of its own: that of the constraint begins with the host.
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="signatures", db_index=False)
    origin = models.CharField(
        max_length=270, help_text="As a URL begins: the port is left out where it is the scheme's own"
    )
    probed_at = models.DateTimeField(null=True, help_text="When a random path was asked for")
    missing_body = models.BinaryField(
        max_length=32,
        null=True,
        help_text="SHA-256 of the beginning of its answer there, if that was a success",
    )
    missing_target = models.TextField(blank=True, help_text="Where it redirected to from there")
    tdm_at = models.DateTimeField(null=True, help_text="When /.well-known/tdmrep.json was asked for")
    tdm_rules = models.JSONField(
        default=list, help_text="[[pattern of paths, whether it is reserved]] in order"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["host", "origin"], name="originsignature_once"),
            models.CheckConstraint(
                condition=models.Q(origin__regex=r"^https?://[^/]+$"), name="originsignature_is_one"
            ),
        ]

    def __str__(self) -> str:
        return f"signature of {self.origin}"
