"""What each route answers to GET and to an empty POST, for five kinds of people.

404 is for what somebody may not know of, 403 for what he may see and not do, 302 and 401 lead to the sign-in; 400 and
409 mean that the door stood open and the empty body was refused.
"""

from __future__ import annotations

PEOPLE = ("anonymous", "stranger", "staff", "maintainer", "approver")

# The same answer to all five; a stranger is a member of another organisation, in any role, or of none.
FOUND = "200 200 200 200 200"
ABSENT = "404 404 404 404 404"
NO_SUCH_METHOD = "405 405 405 405 405"
# Pages of members.
MEMBERS = "302 404 200 200 200"
MEMBERS_API = "401 404 200 200 200"
# A POST to what only members know of, by what each role may do; 302 is also where an act that was done leads to.
PUBLIC_READ = (FOUND, NO_SUCH_METHOD)
PUBLIC_READ_API = (FOUND, "401 405 405 405 405")

# name of the route, which of the world's things it is asked for: answers to GET, answers to POST
DOORS: dict[tuple[str, str], tuple[str, str]] = {
    ("home", ""): PUBLIC_READ,
    ("healthz", ""): PUBLIC_READ,
    ("search", ""): PUBLIC_READ,
    ("sign_in", ""): ("200 302 302 302 302", "200 302 302 302 302"),
    ("sign_out", ""): (NO_SUCH_METHOD, "302 302 302 302 302"),
    ("account", ""): ("302 200 200 200 200", "302 400 400 400 400"),
    # The key is the staff member's.
    ("api_key_revoke", "key"): ("302 405 405 405 405", "302 404 302 404 404"),
    ("organisation_detail", "organisation"): (MEMBERS, "302 404 400 400 400"),
    ("member_role_change", "member"): ("302 405 405 405 405", "302 404 302 302 302"),
    # The member is the staff member: he leaves, the others may end his membership.
    ("member_remove", "member"): ("302 405 405 405 405", "302 404 302 302 302"),
    ("job_list", ""): ("302 200 200 200 200", "302 405 405 405 405"),
    ("job_detail", "job"): (MEMBERS, "302 405 405 405 405"),
    ("job_progress", "job"): ("302 404 286 286 286", "302 405 405 405 405"),
    # A stranger who is a maintainer elsewhere may create a dataset there.
    ("dataset_create", ""): ("302 403+200+200 403 200 200", "302 403+400+400 403 400 400"),
    ("version_create", "dataset"): ("302 403 403 200 200", "302 403 403 400 400"),
    ("version_create", "hidden"): ("302 404 403 200 200", "302 404 403 400 400"),
    ("version_retry", "draft"): ("302 403 403 200 200", "302 403 403 409 409"),
    ("version_retry", "hidden draft"): ("302 404 403 200 200", "302 404 403 409 409"),
    ("lineage_create", "dataset"): ("302 403 403 200 200", "302 403 403 400 400"),
    ("lineage_create", "hidden"): ("302 404 403 200 200", "302 404 403 400 400"),
    ("report_create", ""): (FOUND, "400 400 400 400 400"),
    ("report_received", "secret"): PUBLIC_READ,
    ("report_received", "wrong secret"): (ABSENT, NO_SUCH_METHOD),
    ("report_status", "secret"): PUBLIC_READ,
    ("report_status", "wrong secret"): (ABSENT, NO_SUCH_METHOD),
    # A stranger who is a member somewhere has a queue of his own; it is empty.
    ("queue", ""): ("302 200 200 200 200", NO_SUCH_METHOD),
    ("case_next", ""): (NO_SUCH_METHOD, "302 302 302 302 302"),
    ("case_detail", "case"): (MEMBERS, NO_SUCH_METHOD),
    ("case_claim", "case"): (NO_SUCH_METHOD, "302 404 302 302 302"),
    ("case_release_claim", "case"): (NO_SUCH_METHOD, "302 404 409 409 409"),
    ("case_locate", "case"): (NO_SUCH_METHOD, "302 404 302 302 302"),
    ("item_mark", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_propose", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_approve", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_return", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("case_merge", "case"): (NO_SUCH_METHOD, "302 404 400 400 400"),
    ("release_file", "release file"): PUBLIC_READ,
    ("release_file", "unpublished file"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_urls", "release"): PUBLIC_READ,
    ("release_urls", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_key", "release key"): PUBLIC_READ,
    ("release_key", "unpublished key"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("release_create", "version"): ("302 405 405 405 405", "302 302 302 302 302"),
    ("release_create", "draft"): ("302 405 405 405 405", "302 404 302 302 302"),
    ("release_publish", "release"): ("302 405 405 405 405", "302 403 403 302 302"),
    ("release_publish", "unpublished"): ("302 405 405 405 405", "302 404 403 302 302"),
    ("dataset_list", ""): PUBLIC_READ,
    ("dataset_detail", "dataset"): PUBLIC_READ,
    ("dataset_detail", "hidden"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("version_detail", "version"): PUBLIC_READ,
    ("version_detail", "draft"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("version_detail", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("version_links", "version"): PUBLIC_READ,
    ("version_links", "draft"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("panel_draw", "version"): ("302 405 405 405 405", "302 403 403 400 400"),
    ("panel_draw", "draft"): ("302 405 405 405 405", "302 404 403 400 400"),
    ("links_budget", "version"): ("302 405 405 405 405", "302 403 403 400 400"),
    ("links_budget", "draft"): ("302 405 405 405 405", "302 404 403 400 400"),
    ("links_check_now", "version"): ("302 405 405 405 405", "302 403 403 302 302"),
    ("links_check_now", "draft"): ("302 405 405 405 405", "302 404 403 302 302"),
    ("links_pause", "version"): ("302 405 405 405 405", "302 403 403 302 302"),
    ("links_pause", "draft"): ("302 405 405 405 405", "302 404 403 302 302"),
    ("links_resume", "version"): ("302 405 405 405 405", "302 403 403 302 302"),
    ("links_resume", "draft"): ("302 405 405 405 405", "302 404 403 302 302"),
    ("about_links", ""): PUBLIC_READ,
    ("release_detail", "release"): PUBLIC_READ,
    ("release_detail", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("advisory_list", ""): PUBLIC_READ,
    ("advisory_detail", "advisory"): PUBLIC_READ,
    ("advisory_detail", "unpublished removal"): (ABSENT, NO_SUCH_METHOD),
    ("transparency", ""): PUBLIC_READ,
    ("transparency_csv", ""): PUBLIC_READ,
    ("api-schema", ""): PUBLIC_READ,
    ("api-docs", ""): PUBLIC_READ,
    ("api-me", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-organisation-list", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-member-list", "organisation"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-job-list", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-job-detail", "job pk"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-dataset-list", ""): (FOUND, "401 400 400 400 400"),
    ("api-dataset-detail", "dataset"): PUBLIC_READ_API,
    ("api-dataset-detail", "hidden"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-version-list", "dataset"): (FOUND, "401 400 400 400 400"),
    ("api-version-list", "hidden"): ("404 404 200 200 200", "401 400 400 400 400"),
    ("api-version-detail", "version"): PUBLIC_READ_API,
    ("api-version-detail", "draft"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-version-detail", "unpublished"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-version-ingest", "draft"): ("401 405 405 405 405", "401 404 403 202 202"),
    ("api-version-ingest", "version"): ("401 405 405 405 405", "401 403 403 409 409"),
    ("api-version-shards", "version"): PUBLIC_READ_API,
    ("api-version-shards", "draft"): ("404 404 200 200 200", "401 405 405 405 405"),
    # No panel was drawn.
    ("api-version-links", "version"): (ABSENT, "401 405 405 405 405"),
    ("api-version-links", "draft"): (ABSENT, "401 405 405 405 405"),
    ("api-version-link-rows", "version"): ("401 403 200 200 200", "401 405 405 405 405"),
    ("api-version-link-rows", "draft"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-lineage-list", ""): (FOUND, "401 400 400 400 400"),
    ("api-shard-detail", "shard"): PUBLIC_READ_API,
    ("api-shard-detail", "draft shard"): ("404 404 200 200 200", "401 405 405 405 405"),
    ("api-report-create", ""): (NO_SUCH_METHOD, "400 400 400 400 400"),
    ("api-category-list", ""): PUBLIC_READ,
    ("api-advisory-list", ""): PUBLIC_READ,
    ("api-advisory-detail", "advisory"): PUBLIC_READ,
    ("api-advisory-detail", "unpublished removal"): (ABSENT, NO_SUCH_METHOD),
    # The secret travels in a header, which nobody sends here.
    ("api-report-status", ""): (ABSENT, NO_SUCH_METHOD),
    ("api-report-status-items", ""): (ABSENT, NO_SUCH_METHOD),
    ("api-case-list", ""): ("401 200 200 200 200", "401 405 405 405 405"),
    ("api-case-next", ""): ("401 405 405 405 405", "401 204 200 200 200"),
    ("api-case-detail", "case"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-case-items", "case"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-case-items-mark", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-locations", "case"): (MEMBERS_API, "401 405 405 405 405"),
    ("api-case-claim", "case"): ("401 405 405 405 405", "401 404 200 200 200"),
    ("api-case-locate", "case"): ("401 405 405 405 405", "401 404 200 200 200"),
    ("api-case-propose", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-approve", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-return", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-case-merge", "case"): ("401 405 405 405 405", "401 404 400 400 400"),
    ("api-release-list", "dataset"): PUBLIC_READ,
    ("api-release-list", "hidden"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("api-release-detail", "release"): PUBLIC_READ,
    ("api-release-detail", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("api-release-files", "release"): PUBLIC_READ,
    ("api-release-files", "unpublished"): ("404 404 200 200 200", NO_SUCH_METHOD),
    ("api-release-build", "version"): ("401 405 405 405 405", "401 403 403 409 409"),
    ("api-release-build", "draft"): ("401 405 405 405 405", "401 404 403 409 409"),
    ("api-release-publish", "release"): ("401 405 405 405 405", "401 403 403 409 409"),
    ("api-release-publish", "unpublished"): ("401 405 405 405 405", "401 404 403 202 202"),
    ("api-search", ""): PUBLIC_READ,
    ("api-query", ""): (NO_SUCH_METHOD, "400 400 400 400 400"),
    ("api-statistics", ""): PUBLIC_READ,
}  # fmt: skip

# PUT, PATCH and DELETE find no door, but for these.
REFUSED = [302, 401, 403, 404, 405]
OTHER_METHODS = {
    ("api-case-claim", "delete"): "401 404 409 409 409",
    ("sign_in", "put"): "200 302 302 302 302",  # Django's view takes it for a POST
}
