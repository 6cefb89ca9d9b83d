import base64
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from html import unescape

import pytest
from plotly.offline import get_plotlyjs
from support import full_rows
from support import rows as made
from support.outline import Outline

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Failure, Row
from analyzer.report import view
from analyzer.report.commands import Commands
from analyzer.report.evidence import Omissions, gather
from analyzer.report.render import page_html, templates
from analyzer.space import Candidate
from analyzer.stages import Skipped

COMMANDS = Commands(
    serve="engine serve --chosen resnet50",
    apply="analyze apply resnet50 --model-repository PATH",
    rerank="analyze report resnet50 --objective perf_latency_p99",
    reproduce="analyze profile --model resnet50",
)


def render(rows: Sequence[Row], budget: float | None = None) -> str:
    return page_html(
        view.make(gather(made.head(), rows, parse_goal(latency_budget=budget)), COMMANDS)
    )


SWEEP = made.resnet50()
PAGES = {
    "sweep": render(SWEEP, budget=60),
    "gpu": render(full_rows.resnet50(gpu=True)),
    "failures": render([row for row in SWEEP if row.failure is not None]),
    "one": render(SWEEP[:1]),
    "infeasible": render(SWEEP, budget=1),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_markup_is_whole_and_ids_are_unique(name: str) -> None:
    outline = Outline(PAGES[name])
    assert not outline.faults
    assert outline.stack == []
    assert len(outline.ids) == len(set(outline.ids))


@pytest.mark.parametrize("name", PAGES)
def test_the_page_asks_nothing_of_the_network(name: str) -> None:
    html = PAGES[name]
    assert all(address.startswith(("data:", "#")) for address in Outline(html).addresses)
    assert "default-src 'none'" in html
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL).replace(plotly(html), "")
    assert "http://" not in own
    assert "https://" not in own
    assert "url(" not in own
    assert "@import" not in own


def plotly(html: str) -> str:
    """Cut plotly.js, as it lies in a page, out of it; "" where there is none."""
    start = html.find('<script type="application/octet-stream" id="plotly">')
    return "" if start < 0 else html[start : html.index("</script>", start)]


def test_what_draws_the_charts_costs_a_page_little() -> None:
    assert "drawing.draw(" in PAGES["sweep"]
    assert len(PAGES["sweep"].replace(plotly(PAGES["sweep"]), "")) < 250_000
    assert len(PAGES["failures"]) < 100_000


def test_plotly_is_in_the_file_once_and_only_if_something_is_drawn() -> None:
    packed = plotly(PAGES["sweep"])
    assert PAGES["sweep"].count('id="plotly"') == 1
    source = zlib.decompress(base64.b64decode(packed.partition(">")[2])).decode()
    assert source == get_plotlyjs()
    assert not plotly(PAGES["failures"])


def test_two_thousand_measurements_would_fit_into_six_megabytes() -> None:
    few, more = (
        len(
            page_html(
                view.make(gather(made.head(), full_rows.large(count), parse_goal()), COMMANDS)
            )
        )
        for count in (100, 200)
    )
    assert few + 19 * (more - few) < 6_000_000


def test_the_verdict_comes_before_tables_charts_and_details() -> None:
    html = PAGES["sweep"]
    assert html.index("<h1>") < html.index("<h2")
    heads = re.findall(r"<h2[^>]*>([^<]*)</h2>", html)
    wanted = ["Configurations", "Charts", "Pareto set", "The search's path", "What failed",
              "The chosen configuration's file", "Commands", "How it was measured"]  # fmt: skip
    assert [unescape(head) for head in heads] == wanted


def test_every_way_through_the_page_leads_somewhere() -> None:
    for html in PAGES.values():
        ids = Outline(html).ids
        ways = re.findall(r'href="#([^"]+)"', html)
        assert len(ways) > 2
        assert set(ways) <= set(ids)


def test_each_configuration_opens_to_its_difference_from_the_default() -> None:
    html = PAGES["sweep"]
    table = html[html.index('<table class="sortable" id="configurations">') :]
    table = table[: table.index("</table>")]
    opened = re.findall(r'aria-controls="(configurations-more-\d+)"', table)
    assert len(opened) == 8
    assert opened == re.findall(r'<tr class="more" id="([^"]+)" hidden>', table)
    assert table.count("Against the default") == 7


def test_a_page_of_failures_says_so_and_why() -> None:
    text = Outline(PAGES["failures"]).text
    assert "Nothing could be measured" in text
    assert "probably killed for memory" in text
    assert "Charts" not in text


def test_what_was_not_tried_stands_there_with_its_reason_and_else_there_is_no_such_part() -> None:
    setting = Candidate.of(
        instance_count=1, max_batch_size=1, max_queue_delay_microseconds=500, concurrency=4
    )
    skipped = (Skipped(setting, "there is <nobody> to wait for"),)
    evidence = gather(made.head(), SWEEP, parse_goal(), Omissions(skipped=skipped))
    outline = Outline(page_html(view.make(evidence, COMMANDS)))
    assert not outline.faults
    said = outline.text[outline.text.index("Not tried") :]
    assert "1 instance, max batch size 1, dynamic batching, delay 500 µs" in said
    assert "there is <nobody> to wait for" in said
    assert "Not tried" not in Outline(PAGES["sweep"]).text


def test_the_winners_difference_is_shown_line_by_line() -> None:
    html = PAGES["sweep"]
    assert '<span class="removed">- max_batch_size: 32' in html
    assert '<span class="added">+ max_batch_size: 8' in html
    assert '<span class="added">+   max_queue_delay_microseconds: 500' in html


def test_the_commands_stand_there_to_be_pasted() -> None:
    text = Outline(PAGES["sweep"]).text
    for command in (COMMANDS.serve, COMMANDS.apply, COMMANDS.rerank, COMMANDS.reproduce):
        assert command in text


def test_nothing_that_was_measured_can_become_markup() -> None:
    """Names, messages, settings and configurations come from outside."""
    evil = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
    sweep = made.Sweep(evil)
    sweep.measure(sweep.variant(None), (1, 2))
    sweep.measure(sweep.variant(1), (1, 2))
    rows = [
        replace(row, config=evil, settings={**row.settings, "instance_group": evil})
        for row in sweep.rows
    ]
    rows.append(replace(rows[0], failure=Failure(stage=evil, message=evil), metrics={}))
    head = replace(
        made.head(evil), machine={evil: evil, "cpu": evil}, versions={evil: evil}, run=evil
    )
    html = page_html(view.make(gather(head, rows, parse_goal()), COMMANDS))
    outline = Outline(html)
    assert not outline.faults
    assert "<img" not in html.replace(plotly(html), "")
    assert "<script>alert" not in html
    for page, seen in ((html, outline), (PAGES["sweep"], Outline(PAGES["sweep"]))):
        data = page.count('type="application/json"')
        assert seen.scripts == data + page.count("<script>charting.begin();</script>") + 4


def test_templates_are_found_in_a_checkout() -> None:
    assert (templates() / "summary.html.j2").is_file()
