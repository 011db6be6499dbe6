"""The API of casework, for members, and of a report's status, for whoever holds its secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics, serializers
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from registry.accounts.requests import signed_in
from registry.lib.errors import Refused
from registry.lib.pagination import Pages
from takedowns.cases import services
from takedowns.cases.filters import CaseFilter, ItemFilter
from takedowns.cases.models import Case, Location
from takedowns.cases.redacting import redaction_gaps
from takedowns.cases.selectors import (
    case_consequences,
    case_list,
    case_locations,
    decision_last,
    items_with_rows,
)
from takedowns.cases.serializers import (
    ApproveIn,
    CaseDetailOut,
    CaseOut,
    ItemOut,
    LocationOut,
    MarkIn,
    MergeIn,
    ProposeIn,
    ReportItemOut,
    ReportStatusOut,
    ReturnIn,
)
from takedowns.cases.status import report_by_secret, report_items, report_status
from takedowns.reports.models import Item, Outcome, Report

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from takedowns.cases.models import CaseQuerySet

S = TypeVar("S", bound=serializers.BaseSerializer[Any])

REFUSED = {
    403: OpenApiResponse(description="Your role does not reach this, or you proposed the decision yourself"),
    404: OpenApiResponse(description="There is no such case, or you may not know of it"),
    409: OpenApiResponse(description="Not possible now; `detail` says why"),
}
SECRET = OpenApiParameter(
    "Report-Secret",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    required=True,
    description="The secret of the report",
)


class CaseList(generics.ListAPIView[Case]):
    """The queue."""

    permission_classes = [IsAuthenticated]
    serializer_class = CaseOut
    pagination_class = Pages
    filterset_class = CaseFilter
    queryset = Case.objects.none()

    def get_queryset(self) -> CaseQuerySet:
        """Cases of the caller's organisations."""
        return case_list(self.request.user)

    @extend_schema(operation_id="case_list", summary="Cases, the most urgent first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the cases of your organisations."""
        return super().get(request, *args, **kwargs)


class CaseView(APIView):
    """What all views of one case share."""

    permission_classes = [IsAuthenticated]

    def case(self, number: str) -> Case:
        """Return the case, or answer 404 to whoever may not know of it."""
        found = case_list(self.request.user).filter(number=number).first()
        if found is None:
            raise NotFound
        return found

    def given(self, request: Request, serializer: type[S]) -> dict[str, Any]:
        """Return the body, checked."""
        body = serializer(data=request.data)
        body.is_valid(raise_exception=True)
        checked: dict[str, Any] = body.validated_data
        return checked

    def answer(self, number: str) -> Response:
        """Return the case as it is now."""
        case: Any = self.case(number)
        case.redaction_gap_list = redaction_gaps(case)
        case.consequence_list = list(case_consequences(case))
        case.newest_decision = decision_last(case)
        return Response(CaseDetailOut(case).data)


class CaseDetail(CaseView):
    """One case."""

    @extend_schema(operation_id="case_retrieve", summary="One case", responses={200: CaseDetailOut})
    def get(self, request: Request, number: str) -> Response:  # noqa: ARG002  the signature of a view
        """Return a case with its consequence in rows."""
        return self.answer(number)


class CaseItems(generics.ListAPIView[Item]):
    """Items of a case."""

    permission_classes = [IsAuthenticated]
    serializer_class = ItemOut
    pagination_class = Pages
    filterset_class = ItemFilter
    queryset = Item.objects.none()

    def get_queryset(self) -> QuerySet[Item]:
        """Items of a case that the caller may see, by what was found of them."""
        case = case_list(self.request.user).filter(number=self.kwargs["number"]).first()
        if case is None:
            raise NotFound
        return items_with_rows(case)

    @extend_schema(operation_id="case_items_list", summary="Items of a case, masked")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the items of a case, masked, with the rows located."""
        return super().get(request, *args, **kwargs)


class CaseLocations(generics.ListAPIView[Location]):
    """Locations of a case."""

    permission_classes = [IsAuthenticated]
    serializer_class = LocationOut
    pagination_class = Pages
    filter_backends = []
    queryset = Location.objects.none()

    def get_queryset(self) -> QuerySet[Location]:
        """Locations of a case that the caller may see."""
        case = case_list(self.request.user).filter(number=self.kwargs["number"]).first()
        if case is None:
            raise NotFound
        return case_locations(case)

    @extend_schema(operation_id="case_locations_list", summary="Rows located, by item and shard")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List how many rows of which shard each item names."""
        return super().get(request, *args, **kwargs)


class CaseClaim(CaseView):
    """Claim or release a case."""

    @extend_schema(
        operation_id="case_claim",
        summary="Claim for 30 minutes",
        request=None,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Hold a case for half an hour, or half an hour more."""
        services.case_claim(actor=signed_in(request), case=self.case(number))
        return self.answer(number)

    @extend_schema(
        operation_id="case_release_claim",
        summary="Release a claim",
        responses={200: CaseDetailOut, **REFUSED},
    )
    def delete(self, request: Request, number: str) -> Response:
        """Let go of a case."""
        services.case_release_claim(actor=signed_in(request), case=self.case(number))
        return self.answer(number)


class CaseNext(CaseView):
    """Take the next case."""

    @extend_schema(
        operation_id="case_claim_next",
        summary="Claim the most urgent case that nobody holds",
        request=None,
        responses={
            200: CaseDetailOut,
            204: OpenApiResponse(description="No case waits for you"),
            403: REFUSED[403],
        },
    )
    def post(self, request: Request) -> Response:
        """Claim the most urgent case that you can work on."""
        case = services.case_claim_next(actor=signed_in(request))
        return Response(status=204) if case is None else self.answer(case.number)


class CaseLocate(CaseView):
    """Locate again."""

    @extend_schema(
        operation_id="case_locate",
        summary="Locate the items again",
        request=None,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Start locating the items in every version; `located_at` moves when it is done."""
        services.case_locate(actor=signed_in(request), case=self.case(number))
        return self.answer(number)


class CaseMark(CaseView):
    """Mark items."""

    @extend_schema(
        operation_id="case_items_mark",
        summary="Mark items to be kept or redacted",
        request=MarkIn,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Mark items to be kept or redacted, or take the mark off."""
        case, given = self.case(number), self.given(request, MarkIn)
        services.item_mark(
            actor=signed_in(request),
            case=case,
            items=given["items"],
            outcome=Outcome(given["outcome"]),
            note=given["note"],
            columns=given["columns"],
        )
        return self.answer(number)


class CasePropose(CaseView):
    """Propose a decision."""

    @extend_schema(
        operation_id="case_propose",
        summary="Propose a decision",
        request=ProposeIn,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Propose an outcome for every item of a case."""
        case, given = self.case(number), self.given(request, ProposeIn)
        services.case_propose(
            actor=signed_in(request),
            case=case,
            statement=given["statement"],
            summary=given["summary"],
            default=Outcome(given["default"]),
            default_note=given["default_note"],
            columns=given["columns"],
            keep={one["item"]: one["note"] for one in given.get("keep", [])},
        )
        return self.answer(number)


class CaseApprove(CaseView):
    """Approve a decision."""

    @extend_schema(
        operation_id="case_approve",
        summary="Approve as a second person",
        request=ApproveIn,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Approve what somebody else proposed; refused when anything changed since."""
        case, given = self.case(number), self.given(request, ApproveIn)
        services.case_approve(actor=signed_in(request), case=case, preview=given["preview"])
        return self.answer(number)


class CaseReturn(CaseView):
    """Return a proposal."""

    @extend_schema(
        operation_id="case_return",
        summary="Return a proposal",
        request=ReturnIn,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Send a proposal back to review."""
        case, given = self.case(number), self.given(request, ReturnIn)
        services.case_return(actor=signed_in(request), case=case, reason=given["reason"])
        return self.answer(number)


class CaseMerge(CaseView):
    """Merge two cases."""

    @extend_schema(
        operation_id="case_merge",
        summary="Merge into another case",
        request=MergeIn,
        responses={200: CaseDetailOut, **REFUSED},
    )
    def post(self, request: Request, number: str) -> Response:
        """Move the reports of a case into another, and return that one."""
        case, given = self.case(number), self.given(request, MergeIn)
        into = case_list(request.user).filter(number=given["into"]).first()
        if into is None:
            raise Refused("There is no case of this number. Nothing was changed.")
        services.case_merge(actor=signed_in(request), case=case, into=into)
        return self.answer(into.number)


def _report(request: Request) -> Report:
    """Return the report of the secret in the header; a query string would end up in logs."""
    report = report_by_secret(request.headers.get("Report-Secret", ""))
    if report is None:
        raise NotFound("No report has this secret. Send it as the header Report-Secret.")
    return report


class ReportStatusView(APIView):
    """The status of a report."""

    permission_classes = [AllowAny]

    @extend_schema(
        operation_id="report_status",
        summary="Where a report stands",
        parameters=[SECRET],
        responses={200: ReportStatusOut, 404: OpenApiResponse(description="No report has this secret")},
    )
    def get(self, request: Request) -> Response:
        """Say where the report stands, what happens next and by when."""
        status = report_status(_report(request))
        return Response(ReportStatusOut(status).data, headers={"Cache-Control": "no-store"})


class ReportItems(generics.ListAPIView[Item]):
    """The items of a report, for its reporter."""

    permission_classes = [AllowAny]
    serializer_class = ReportItemOut
    pagination_class = Pages
    filter_backends = []
    queryset = Item.objects.none()

    def get_queryset(self) -> QuerySet[Item]:
        """Items of the report of the secret."""
        report = _report(self.request)
        return report_items(report, settled=report_status(report).settled)

    @extend_schema(
        operation_id="report_status_items", summary="What came of each item, masked", parameters=[SECRET]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List what came of each item of the report."""
        answer = super().get(request, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer
