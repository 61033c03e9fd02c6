"""Pages of grading: graders, runs, reports, and the dashboard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from annotation.models import ConversationSet, GoldTruth
from annotation.models.labels import Answer
from grading import tasks
from grading.models import Grade, GraderProbe, GraderRun, GraderVersion
from grading.selectors.reports import ordered, run_report
from grading.services.runs import start_run, stop_run
from grading.tasks import grade_run
from tests.factories import (
    GraderFactory,
    GraderProbeFactory,
    GraderVersionFactory,
    LabelFactory,
    fill,
    proposition,
)

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The nudges that would have gone to the broker."""
    nudges: list[tuple[str, int]] = []
    monkeypatch.setattr(
        tasks, "_send", lambda task, pk, holds_model: nudges.append((task.name, pk))
    )
    return nudges


@pytest.fixture
def version(db: None) -> GraderVersion:
    return GraderVersionFactory(grader__name="fake")


@pytest.fixture
def page(client: Client, rhea: User) -> Client:
    client.force_login(rhea)
    return client


@pytest.fixture
def run(version: GraderVersion, gold: ConversationSet) -> GraderRun:
    """A run that is planned and not yet graded."""
    return start_run(grader_version=version, conversation_set=gold, split="all").run


@pytest.fixture
def graded(run: GraderRun) -> GraderRun:
    grade_run(run.pk)
    run.refresh_from_db()
    assert run.status == GraderRun.Status.COMPLETED
    return run


def text(response: Any) -> str:
    return str(response.content.decode())


def pages(run: GraderRun) -> list[str]:
    return [
        reverse("dashboard"),
        reverse("graders"),
        reverse("grader_card", args=["classifier"]),
        reverse("runs"),
        reverse("run", args=[run.pk]),
        reverse("run_report_json", args=[run.pk]),
        reverse("run_proposition", args=[run.pk, "helps"]),
    ]


def actions(run: GraderRun) -> list[str]:
    return [
        reverse("probe_grader", args=["classifier"]),
        reverse("stop_run", args=[run.pk]),
        reverse("resume_run", args=[run.pk]),
    ]


def test_every_page_opens(page: Client, graded: GraderRun) -> None:
    for url in pages(graded):
        assert page.get(url).status_code == 200, url


def test_every_page_opens_for_a_run_without_a_grade(page: Client, run: GraderRun) -> None:
    for url in pages(run):
        assert page.get(url).status_code == 200, url


def test_nothing_is_shown_or_changed_without_signing_in(client: Client, run: GraderRun) -> None:
    for url in [*pages(run), reverse("run_progress", args=[run.pk])]:
        assert client.get(url)["Location"].startswith("/login/"), url
    for url in [*actions(run), reverse("runs")]:
        assert client.post(url)["Location"].startswith("/login/"), url
    run.refresh_from_db()
    assert run.status == GraderRun.Status.RUNNING
    assert not GraderProbe.objects.exists()


def test_pages_take_no_post_and_actions_take_no_get(page: Client, run: GraderRun) -> None:
    for url in [*pages(run), reverse("run_progress", args=[run.pk])]:
        if url != reverse("runs"):
            assert page.post(url).status_code == 405, url
    for url in actions(run):
        assert page.get(url).status_code == 405, url


def test_what_does_not_exist_is_404(page: Client, run: GraderRun) -> None:
    for name in ("run", "run_progress", "run_report_json"):
        assert page.get(reverse(name, args=[10**9])).status_code == 404
    for name in ("stop_run", "resume_run"):
        assert page.post(reverse(name, args=[10**9])).status_code == 404
    assert page.get(reverse("run_proposition", args=[run.pk, "nonsense"])).status_code == 404
    assert page.get(reverse("grader_card", args=["nobody"])).status_code == 404
    assert page.post(reverse("probe_grader", args=["nobody"])).status_code == 404


def test_an_empty_dashboard_says_what_to_do_first(page: Client) -> None:
    body = text(page.get(reverse("dashboard")))
    assert "python3 manage.py quickstart" in body
    assert "import_policy" in body


def test_the_dashboard_names_the_next_step(
    page: Client, gold: ConversationSet, version: GraderVersion
) -> None:
    assert page.get(reverse("dashboard")).context["chain"].next_step == "run"


def test_a_run_is_started_and_nudged(
    page: Client, rhea: User, gold: ConversationSet, version: GraderVersion, sent: list[Any]
) -> None:
    data = {"conversation_set": gold.pk, "grader_version": version.pk, "split": "test"}
    response = page.post(reverse("runs"), data, headers=HTMX)
    run = GraderRun.objects.get()
    assert response["HX-Redirect"] == reverse("run", args=[run.pk])
    assert (run.started_by, run.split, run.propositions.count()) == (rhea, "test", 3)
    assert ("grading.tasks.grade_run", run.pk) in sent


def test_a_run_can_be_about_some_propositions_and_some_rows(
    page: Client, gold: ConversationSet, version: GraderVersion
) -> None:
    data = {
        "conversation_set": gold.pk, "grader_version": version.pk, "split": "all",
        "limit": "2", "propositions": ["rude", "cites"],
    }  # fmt: skip
    response = page.post(reverse("runs"), data)
    run = GraderRun.objects.get()
    assert response["Location"] == reverse("run", args=[run.pk])
    assert sum(run.batches.values_list("n_cells", flat=True)) == 4  # 2 rows of 2 propositions


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    "wrong",
    [
        {"split": "nonsense"},
        {"limit": "0"},
        {"limit": "many"},
        {"propositions": ["nonsense"]},
        {"grader_version": "77777"},
        {"conversation_set": "77777"},
        {"conversation_set": "x"},
    ],
)
def test_a_run_that_makes_no_sense_is_refused_with_the_form(
    page: Client, gold: ConversationSet, version: GraderVersion,
    wrong: dict[str, Any], headers: dict[str, str],
) -> None:  # fmt: skip
    data = {"conversation_set": gold.pk, "grader_version": version.pk, "split": "all"} | wrong
    response = page.post(reverse("runs"), data, headers=headers)
    assert response.status_code == 422
    assert 'id="run-form"' in text(response)
    assert 'role="alert"' in text(response)
    assert not GraderRun.objects.exists()


def test_a_run_that_the_service_refuses_says_why(
    page: Client, gold: ConversationSet, version: GraderVersion, learning: None
) -> None:
    GoldTruth.objects.all().delete()
    data = {"conversation_set": gold.pk, "grader_version": version.pk, "split": "all"}
    response = page.post(reverse("runs"), data, headers=HTMX)
    assert response.status_code == 422
    assert "nothing to learn from" in text(response)


def test_the_form_offers_the_propositions_of_the_chosen_set(
    page: Client, gold: ConversationSet, version: GraderVersion
) -> None:
    form = page.get(reverse("runs"), {"conversation_set": gold.pk}).context["form"]
    assert [key for key, _ in form.fields["propositions"].choices] == ["helps", "rude", "cites"]


def test_progress_is_polled_while_the_run_goes_and_then_no_more(
    page: Client, run: GraderRun
) -> None:
    url = reverse("run_progress", args=[run.pk])
    going = page.get(url, headers=HTMX)
    assert 'hx-trigger="every 1s"' in text(going)
    assert "HX-Trigger" not in going
    grade_run(run.pk)
    over = page.get(url, headers=HTMX)
    assert 'hx-trigger="every' not in text(over)
    assert over["HX-Trigger"] == "run-ended"
    assert page.get(url)["Location"] == reverse("run", args=[run.pk])


def test_stop_and_resume_return_the_progress(page: Client, run: GraderRun, sent: list[Any]) -> None:
    stopped = page.post(reverse("stop_run", args=[run.pk]), headers=HTMX)
    assert stopped.status_code == 200
    # 7 rows of 3 propositions, none graded.
    assert "Resume 21 of 21" in text(stopped)
    sent.clear()
    resumed = page.post(reverse("resume_run", args=[run.pk]), headers=HTMX)
    assert 'id="stop-run"' in text(resumed)
    assert ("grading.tasks.grade_run", run.pk) in sent
    assert page.post(reverse("stop_run", args=[run.pk]))["Location"] == reverse(
        "run", args=[run.pk]
    )


def test_a_failed_run_shows_its_error(page: Client, run: GraderRun) -> None:
    stop_run(run=run)
    GraderRun.objects.filter(pk=run.pk).update(status="failed", error="no <b>model</b> there")
    body = text(page.get(reverse("run", args=[run.pk])))
    assert "no &lt;b&gt;model&lt;/b&gt; there" in body


def test_a_corrected_label_changes_the_report_on_the_next_view(
    page: Client, graded: GraderRun
) -> None:
    url = reverse("run_report_json", args=[graded.pk])
    before = page.get(url).json()["propositions"]["cites"]["positives"]
    completion = graded.grades.first().completion
    record = reverse("record_label", args=[completion.pk, "cites"])
    page.post(record, {"answer": "true"})
    assert page.get(url).json()["propositions"]["cites"]["positives"] == before + 1


def test_the_json_is_what_the_report_command_writes(
    page: Client, graded: GraderRun, tmp_path: Any
) -> None:
    call_command("report", graded.pk, json=str(tmp_path / "report.json"))
    written = json.loads((tmp_path / "report.json").read_text())
    assert page.get(reverse("run_report_json", args=[graded.pk])).json() == written


def test_an_undefined_number_is_na_with_its_reason(page: Client, graded: GraderRun) -> None:
    body = text(page.get(reverse("run", args=[graded.pk])))
    assert "only negatives in 7 rows" in body
    assert "not measurable" in body


def test_a_report_can_be_split_and_sorted_by_its_address(page: Client, graded: GraderRun) -> None:
    url = reverse("run", args=[graded.pk])
    response = page.get(url, {"split": "train", "sort": "-positives"}, headers=HTMX)
    assert response.context["report"].split == "train"
    assert [row.key for row in response.context["rows"]][-1] == "cites"
    assert text(response).lstrip().startswith('<section id="run-report"')
    assert page.get(url, {"split": "nonsense"}).context["report"].split == "all"


def test_rows_without_a_number_come_last_in_both_directions(graded: GraderRun) -> None:
    rows = run_report(graded).rows
    for sort in ("auroc", "-auroc"):
        assert ordered(rows, sort)[-1].key == "cites"
    assert [row.key for row in ordered(rows, "nonsense")] == [row.key for row in rows]


def test_the_rows_of_a_proposition_start_where_grade_and_label_disagree_most(
    page: Client, graded: GraderRun
) -> None:
    first, second = Grade.objects.filter(run=graded, proposition__key="cites").order_by("pk")[:2]
    Grade.objects.filter(run=graded, proposition__key="cites").update(p=0.1)
    Grade.objects.filter(pk=first.pk).update(p=0.7)
    Grade.objects.filter(pk=second.pk).update(p=0.95)
    url = reverse("run_proposition", args=[graded.pk, "cites"])
    rows = page.get(url).context["rows"]
    # Nothing cites: |p - 0| is 0.95, 0.7 and 0.1; the last agrees.
    assert [row["completion"].pk for row in rows] == [second.completion_id, first.completion_id]
    everything = page.get(url, {"show": "all"}, headers=HTMX)
    assert everything.context["page"].paginator.count == 7
    assert text(everything).lstrip().startswith('<section id="graded-cells"')
    assert f"ids={second.completion_id},{first.completion_id}" in text(everything)


def test_cells_without_a_grade_or_a_label_are_no_disagreement(
    page: Client, graded: GraderRun
) -> None:
    grades = Grade.objects.filter(run=graded, proposition__key="cites").order_by("pk")
    Grade.objects.filter(pk=grades[0].pk).update(p=None, null_reason="no signal")
    person = User.objects.create_user("olga")
    LabelFactory(
        completion=grades[1].completion, proposition=proposition(grades[1].completion, "cites"),
        annotator=person, answer=Answer.CANNOT_DECIDE,
    )  # fmt: skip
    found = page.get(reverse("run_proposition", args=[graded.pk, "cites"])).context["outcomes"]
    assert (found["null"], found["unlabelled"]) == (1, 1)


def test_starting_a_grader_asks_for_a_probe_once(page: Client, sent: list[Any]) -> None:
    url = reverse("probe_grader", args=["classifier"])
    for _ in range(2):
        response = page.post(url, headers=HTMX)
        assert response.status_code == 200
        assert 'hx-trigger="every 1s"' in text(response)
    probe = GraderProbe.objects.get()
    assert ("grading.tasks.probe_grader", probe.pk) in sent
    assert page.post(url)["Location"] == reverse("graders")


def test_a_grader_that_cannot_be_asked_for_says_why(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rbr_app.env.GRADER_URL", "")
    url = reverse("probe_grader", args=["vllm_server"])
    for headers in ({}, HTMX):
        response = page.post(url, headers=headers)
        assert response.status_code == 422
        assert "RBR_GRADER_URL" in text(response)


def test_a_probe_that_failed_shows_its_error_and_polls_no_more(page: Client) -> None:
    grader = GraderFactory(name="classifier")
    GraderProbeFactory(grader=grader, state="failed", error="no <i>model</i>")
    body = text(page.get(reverse("grader_card", args=["classifier"]), headers=HTMX))
    assert "no &lt;i&gt;model&lt;/i&gt;" in body
    assert "every 1s" not in body


def test_lists_take_the_same_number_of_queries_however_long_they_are(
    page: Client,
    gold: ConversationSet,
    django_assert_num_queries: Any,
    django_assert_max_num_queries: Any,
) -> None:
    def fill_up(n: int) -> None:
        for _ in range(n):
            version = GraderVersionFactory()
            GraderProbeFactory(grader=version.grader)
            start_run(grader_version=version, conversation_set=gold, split="test")

    fill_up(1)
    counted = {}
    for name, n in (("runs", 13), ("graders", 5), ("dashboard", 12)):
        with django_assert_max_num_queries(n) as queries:
            page.get(reverse(name))
        counted[name] = len(queries)
    fill_up(4)
    for name, n in counted.items():
        with django_assert_num_queries(n):
            page.get(reverse(name))


def test_a_report_takes_the_same_number_of_queries_however_many_rows_it_has(
    page: Client, gold: ConversationSet, version: GraderVersion, django_assert_max_num_queries: Any
) -> None:
    def queries_of(split: str) -> int:
        run = start_run(grader_version=version, conversation_set=gold, split=split).run
        grade_run(run.pk)
        with django_assert_max_num_queries(30) as queries:
            page.get(reverse("run", args=[run.pk]))
        return len(queries)

    few = queries_of("test")
    fill(gold, "train", 30, labelled=True)
    assert queries_of("train") == few
