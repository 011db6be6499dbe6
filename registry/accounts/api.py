"""API: who am I, and my organisations with their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import IsAuthenticated

from registry.accounts.models import Membership, Organisation, User
from registry.accounts.selectors import member_list, organisation_list
from registry.accounts.serializers import MemberOut, MeOut, OrganisationOut

if TYPE_CHECKING:
    from django.db.models import QuerySet


@extend_schema_view(get=extend_schema(operation_id="me", summary="Who the request is signed in as"))
class Me(RetrieveAPIView[User]):
    """The user and his roles."""

    permission_classes = [IsAuthenticated]
    serializer_class = MeOut

    def get_object(self) -> User:
        """Return the signed-in user with his memberships."""
        user = User.objects.prefetch_related("memberships__organisation")
        return get_object_or_404(user, pk=self.request.user.pk)


@extend_schema_view(get=extend_schema(operation_id="organisation_list", summary="Your organisations"))
class OrganisationList(ListAPIView[Organisation]):
    """The organisations that the user is a member of."""

    permission_classes = [IsAuthenticated]
    serializer_class = OrganisationOut
    queryset = Organisation.objects.none()

    def get_queryset(self) -> QuerySet[Organisation]:
        """Return only the user's own."""
        return organisation_list(self.request.user)


@extend_schema_view(
    get=extend_schema(operation_id="member_list", summary="The members of one of your organisations")
)
class MemberList(ListAPIView[Membership]):
    """The members by name; 404 for who is none of them."""

    permission_classes = [IsAuthenticated]
    serializer_class = MemberOut
    queryset = Membership.objects.none()

    def get_queryset(self) -> QuerySet[Membership]:
        """Return the members, or raise Http404."""
        if getattr(self, "swagger_fake_view", False):
            return Membership.objects.none()
        return member_list(get_object_or_404(organisation_list(self.request.user), slug=self.kwargs["slug"]))
