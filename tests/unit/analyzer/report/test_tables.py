from dataclasses import replace

from support import rows as made

from analyzer.ranking.goal import parse_goal
from analyzer.record.row import Why
from analyzer.report import series, tables, wording
from analyzer.report.charts import draw
from analyzer.report.columns import Table
from analyzer.report.commands import Commands
from analyzer.report.evidence import Evidence, advantage, gather
from analyzer.report.render import page_html
from analyzer.report.view import make

SWEEP = made.resnet50()


def evidence(*, gpu: bool = False, budget: float | None = None) -> Evidence:
    rows = made.resnet50(gpu=True) if gpu else SWEEP
    return gather(made.head(), rows, parse_goal(latency_budget=budget))


def column(table: Table, title: str) -> list[str]:
    index = [each.title for each in table.columns].index(title)
    return [line.cells[index].text for line in table.lines]


def test_every_measured_configuration_has_one_line_the_best_first() -> None:
    seen = evidence()
    table = tables.configurations(seen)
    names = column(table, "Configuration")
    assert len(names) == len(set(names)) == 8
    assert names[0] == "config_3"
    assert table.lines[0].cells[0].marks == (tables.CHOSEN,)
    rates = [float(text) for text in column(table, "Throughput")]
    assert rates == sorted(rates, reverse=True)


def test_a_line_has_a_cell_for_each_column_and_numbers_sort_as_numbers() -> None:
    for table in (
        tables.configurations(evidence(budget=60)),
        tables.front(evidence()),
        tables.verification(evidence()),
        tables.failures(evidence()),
        tables.measurements(evidence(gpu=True)),
    ):
        assert table
        for line in table.lines:
            assert len(line.cells) == len(table.columns)
            for head, cell in zip(table.columns, line.cells, strict=True):
                assert not head.numeric or cell.order is None or isinstance(cell.order, int | float)


def test_rows_of_an_open_loop_are_told_by_their_rates() -> None:
    rows = [
        replace(row, load=replace(row.load, request_rate=12.5 * row.load.concurrency))
        for row in SWEEP
    ]
    seen = gather(made.head(), rows, parse_goal())
    assert column(tables.measurements(seen), "Request rate")[:3] == ["12.5", "50", "12.5"]
    (curve, *_) = series.curves(seen)
    assert curve.is_open
    assert [step.level for step in curve.steps] == [12.5, 25, 50, 100, 200, 400]
    mixed = gather(made.head(), [*rows[:1], *SWEEP[1:]], parse_goal())
    assert column(tables.measurements(mixed), "Load")[:2] == ["12.5 requests/s", "concurrency 4"]
    page = make(seen, Commands(serve="", apply="", rerank="", reproduce=""))
    assert page.method[0].startswith("Load: open loop")
    titles = [chart.figure["layout"]["xaxis"]["title"]["text"] for chart in draw(page.charts)]
    assert titles.count("Request rate (1/s)") == 2


def test_a_machine_without_a_gpu_has_no_gpu_columns() -> None:
    titles = {each.title for each in tables.configurations(evidence()).columns}
    assert not [title for title in titles if "GPU" in title]
    assert "GPU Memory Usage" in {
        each.title for each in tables.configurations(evidence(gpu=True)).columns
    }


def test_constraints_add_a_column_that_says_who_keeps_them() -> None:
    seen = evidence(budget=60)
    kept = column(tables.configurations(seen), "Satisfies")
    assert kept == ["Yes" if each.satisfies else "No" for each in seen.standings]
    assert {"Yes", "No"} == set(kept)
    assert "Satisfies" not in {each.title for each in tables.configurations(evidence()).columns}


def test_the_default_is_the_baseline_of_the_gains() -> None:
    seen = evidence()
    table = tables.configurations(seen)
    gains = dict(zip(column(table, "Configuration"), column(table, "vs default"), strict=True))
    assert gains["default"] == "baseline"
    assert seen.default is not None
    assert seen.leader is not None
    best = advantage(seen.goal, seen.leader.best, seen.default.best)
    assert best is not None
    assert gains["config_3"] == f"{best:+.0f}%"


def test_of_a_latency_less_is_better_and_half_is_fifty_per_cent() -> None:
    row = SWEEP[0]
    faster = replace(row, metrics={**row.metrics, "perf_latency_p99": 5.0})
    slower = replace(row, metrics={**row.metrics, "perf_latency_p99": 10.0})
    percent = advantage(parse_goal(["perf_latency_p99"]), faster, slower)
    assert percent is not None
    assert round(percent, 6) == 50.0


def test_failures_keep_their_reasons_whole() -> None:
    table = tables.failures(evidence())
    assert column(table, "Stage") == ["launch", "load"]
    assert column(table, "Reason") == [
        row.failure.message for row in SWEEP if row.failure is not None
    ]


def test_unstable_measurements_are_marked_wherever_they_stand() -> None:
    seen = evidence()
    marked = [
        line.cells[1].text
        for line in tables.measurements(seen).lines
        if "unstable" in line.cells[1].marks
    ]
    assert marked == ["config_4"]


def test_verification_shows_pair_by_pair_what_the_gain_is_made_of() -> None:
    seen = evidence()
    table = tables.verification(seen)
    assert len(table.lines) == len(seen.pairs()) == 4
    for (best, default), line in zip(seen.pairs(), table.lines, strict=True):
        expected = advantage(seen.goal, best, default)
        assert line.cells[-1].order == expected


def test_at_its_best_load_a_verified_variant_shows_the_means_of_its_repetitions() -> None:
    seen = evidence()
    assert seen.leader is not None
    rates = [best.metrics["perf_throughput"] for best, _ in seen.pairs()]
    assert seen.typical(seen.leader)["perf_throughput"] == sum(rates) / len(rates)
    other = next(each for each in seen.standings if each.variant.endswith("_6"))
    assert seen.typical(other) == other.best.metrics


def test_every_measurement_with_both_metrics_is_a_point() -> None:
    seen = evidence()
    points = series.points(seen)
    assert len(points) == len(seen.measured)
    assert sum(not point.stable for point in points) == 1


def test_load_curves_rise_through_every_concurrency_that_was_measured() -> None:
    best, default = series.curves(evidence())
    assert (best.role, default.role) == ("best", "default")
    for curve in (best, default):
        assert [step.level for step in curve.steps] == [1, 2, 4, 8, 16, 32]
        assert all(step.low <= step.throughput <= step.high for step in curve.steps)


def test_bars_are_few_and_never_without_the_default() -> None:
    sweep = made.Sweep()
    for number in range(30):
        sweep.measure(sweep.variant(number, instances=2, threads=1, batch=8 + number), (4,))
    sweep.measure(sweep.variant(None, threads=1), (1,))
    bars = series.bars(gather(made.head(), sweep.rows, parse_goal()))
    assert len(bars) == series.MOST_BARS
    assert bars[-1].role == "default"


def test_no_bars_are_drawn_of_what_was_not_measured() -> None:
    assert series.uses(series.bars(evidence())) == ("cpu_utilization", "cpu_used_ram")
    assert set(series.uses(series.bars(evidence(gpu=True)))) == set(series.USES)


def test_the_searchs_path_says_why_each_row_was_taken_and_what_was_foreseen() -> None:
    assert not tables.path(evidence()), "rows of older versions do not say why"
    rows = [
        replace(row, trial=replace(row.trial, why=Why(f"reason <{row.number}>"))) for row in SWEEP
    ]
    guess = Why("a guess", {"perf_throughput": 12.34})
    rows[1] = replace(rows[1], trial=replace(rows[1].trial, why=guess))
    seen = gather(made.head(), rows, parse_goal())
    table = tables.path(seen)
    assert column(table, "Why")[:3] == ["reason <0>", "a guess", "reason <2>"]
    assert column(table, "Foreseen")[:3] == [wording.NONE, "12.3", wording.NONE]
    led = column(table, "Best so far")
    last = max(place for place, row in enumerate(SWEEP) if row.trial.phase.ranks)
    assert led[0] == "default"
    assert led[last] == led[-1] == wording.short(seen.standings[0].variant, "resnet50")
    page = page_html(make(seen, Commands(serve="", apply="", rerank="", reproduce="")))
    assert "reason &lt;0&gt;" in page
