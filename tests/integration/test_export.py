"""An exported folder served as its Dockerfile says: it answers, is healthy, can be scaled by, ends.

``scripts/export-try`` does the steps before that as well, in a folder of their own.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import tritonclient.http as httpclient
import yaml
from rich.console import Console
from support import prometheus
from support.deployments import profiled, rows
from support.dockerfile import on_ports, read, words
from support.onnx_identity import write_identity
from support.serving import serving

from analyzer.deployment.compose import Asked, export
from analyzer.deployment.values import Wish


def exported(tmp_path: Path) -> Path:
    """Export a model that is really one."""
    write_identity(tmp_path / "real", "m", ["FP32"])
    model = next((tmp_path / "real").rglob("model.onnx"))
    text = (model.parents[1] / "config.pbtxt").read_text()
    place = profiled(tmp_path, tuple(replace(row, config=text) for row in rows()))
    (tmp_path / "models" / "m" / "1" / "model.onnx").write_bytes(model.read_bytes())
    asked = Asked(model=str(place.root), export_path=tmp_path, wish=Wish())
    assert export(asked, Console(file=StringIO())) == 0
    return place.root / "export"


def test_the_image_serves_what_was_chosen_and_the_autoscaler_finds_its_series(
    tmp_path: Path,
) -> None:
    folder = exported(tmp_path)
    steps = {step.word: step for step in read((folder / "Dockerfile").read_text())}
    engine, serve, repository, *flags = words(steps["CMD"])
    assert (engine, serve, repository) == ("engine", "serve", "--model-repository=/models")
    kept = [flag for flag in flags if "-port=" not in flag]
    with serving(f"--model-repository={folder / 'models'}", *kept, folder=tmp_path) as server:
        port = int(server.http.rpartition(":")[2])
        check = [on_ports(word, {8000: port}) for word in words(steps["HEALTHCHECK"])]
        assert subprocess.run([sys.executable, *check[1:]], check=False).returncode == 0
        value = np.array([[0.5, 1.5, 2.5, 3.5]], np.float32)
        with closing(httpclient.InferenceServerClient(server.http)) as client:
            tensor = httpclient.InferInput("IN_FP32", list(value.shape), "FP32")
            tensor.set_data_from_numpy(value)
            result = client.infer("m", [tensor])
        assert (result.as_numpy("OUT_FP32") == value).all()
        with urlopen(f"http://{server.metrics}/metrics") as page:
            shown = prometheus.read(page.read().decode())
        values = yaml.safe_load((folder / "kubernetes/prometheus-adapter-values.yaml").read_text())
        for rule in values["rules"]["custom"]:
            series = rule["seriesQuery"].partition("{")[0]
            assert prometheus.of(shown, series, model="m", version="1") >= 0
        server.signal(getattr(signal, steps["STOPSIGNAL"].rest))
        assert server.exit_code() == 0
