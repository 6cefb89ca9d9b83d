"""The flags of ``analyze perf``: perf_analyzer's names, and what each says in ``--help``. Pure.

Owns the declarations, from which the command line, its help and the page of documentation are
made. Does not own what values mean (``options``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from keyword import iskeyword

MODEL, LOAD, RATE = (
    "Model and server",
    "Load: closed loop, by concurrency",
    "Load: open loop, by rate",
)
SEARCH = "Search along the range"
PRECISION, WINDOWS = "Measurement", "Measurement in perf_analyzer's windows"
DATA, SEQUENCES, REQUESTS = "Input data", "Sequences", "Requests"
OUTPUT, METRICS, TLS = "Output", "Server metrics", "TLS"


class Effect(Enum):
    """What a flag does here."""

    SAME = "as in perf_analyzer"
    OURS = "not in perf_analyzer"
    NONE = "accepted, without effect"
    DEPRECATED = "deprecated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. ``names`` are apart by spaces; without a ``metavar`` it is a switch.

    A flag that is ``repeated`` gathers its values, and as a switch counts how often it stands.
    ``note`` says why it has no effect, or what to write instead.
    """

    names: str
    panel: str
    text: str = ""
    metavar: str = ""
    repeated: bool = False
    effect: Effect = Effect.SAME
    note: str = ""

    @property
    def spellings(self) -> tuple[str, ...]:
        """Its names, as they are written."""
        return tuple(self.names.split())

    @property
    def key(self) -> str:
        """Its longest name, as Python spells names."""
        name = max(self.spellings, key=len).lstrip("-").replace("-", "_")
        return f"{name}_" if iskeyword(name) else name


def _ours(names: str, panel: str, text: str, metavar: str = "") -> Flag:
    return Flag(names, panel, text, metavar, effect=Effect.OURS)


def _idle(names: str, note: str, metavar: str = "") -> Flag:
    return Flag(names, REQUESTS, "", metavar, effect=Effect.NONE, note=note)


def _old(names: str, instead: str, metavar: str = "") -> Flag:
    return Flag(names, REQUESTS, "", metavar, effect=Effect.DEPRECATED, note=instead)


_THREADS = "requests are sent from processes, not threads; --senders sets their number"
_IN_PROCESS = "there is no in-process mode; the server is asked over its port"
_TRACE = "traces are not asked for"

FLAGS: tuple[Flag, ...] = (
    Flag("-m --model-name", MODEL, "The model. Required.", "NAME"),
    Flag("-x --model-version", MODEL, "Its version. (default: the server's choice)", "VERSION"),
    Flag(
        "-u --url",
        MODEL,
        "The server. (default: localhost:8000, for gRPC localhost:8001)",
        "HOST:PORT",
    ),
    Flag("-i --protocol", MODEL, "How requests are sent. (default: http)", "http|grpc"),
    Flag("-b --batch-size", MODEL, "Samples in a request. (default: 1)", "N"),
    Flag("--service-kind", MODEL, "What is asked: triton, any V2 server.", "triton"),
    Flag(
        "--bls-composing-models",
        MODEL,
        "Models that this one calls, to be reported as well.",
        "NAME[:VERSION],...",
    ),
    Flag(
        "--concurrency-range",
        LOAD,
        "So many requests in flight: one number, or from:to:step. (default: 1)",
        "START:END:STEP",
    ),
    Flag(
        "--periodic-concurrency-range",
        LOAD,
        "START in flight at first, STEP more at a time until END. Needs --streaming.",
        "START:END:STEP",
    ),
    Flag(
        "--request-period",
        LOAD,
        "Answers each request gets before more are sent. (default: 10)",
        "N",
    ),
    Flag(
        "--request-rate-range",
        RATE,
        "So many requests a second, whoever has been answered.",
        "START:END:STEP",
    ),
    Flag(
        "--request-distribution",
        RATE,
        "How they are spread in time. (default: constant)",
        "constant|poisson",
    ),
    _ours(
        "--distribution",
        RATE,
        "The same, or gamma with its coefficient of variation: gamma:2.5 comes in bursts.",
        "constant|poisson|gamma:CV",
    ),
    Flag("--request-intervals", RATE, "Send at recorded distances: a file, us a line.", "FILE"),
    Flag("--schedule", RATE, "Send at these seconds from the start, once.", "S,S,..."),
    Flag("--fixed-schedule", RATE, "Send as the timestamps (ms) in --input-data say, once."),
    _ours(
        "--max-inflight",
        RATE,
        "Most requests in flight; what is due beyond is dropped and counted.",
        "N",
    ),
    Flag(
        "-l --latency-threshold",
        SEARCH,
        "Go no further where the latency is this long.",
        "MS",
    ),
    Flag("--binary-search", SEARCH, "Bisect the range for the highest load that keeps it."),
    _ours(
        "--slo",
        SEARCH,
        "Find the highest rate that keeps this promise: p99<=10ms.",
        "pNN<=TIME",
    ),
    _ours(
        "--slo-seconds",
        SEARCH,
        "About so many seconds for finding it; what is known by then is told. (default: 120)",
        "S",
    ),
    Flag(
        "--percentile",
        SEARCH,
        "The latency that counts, for threshold and stability. (default: average)",
        "1..99",
    ),
    _ours(
        "--precision",
        PRECISION,
        "Measure until 95 % intervals are this narrow: throughput[,latency]. (default: 5,10)",
        "PERCENT",
    ),
    _ours("--max-seconds", PRECISION, "Most seconds for a level. (default: 30)", "S"),
    Flag("--request-count", PRECISION, "Measure exactly so many requests instead.", "N"),
    Flag("--warmup-request-count", PRECISION, "Requests to send before.", "N"),
    _ours("--senders", PRECISION, "Processes that send. (default: as many as it takes)", "N"),
    Flag("--random-seed --seed", PRECISION, "Of data and arrivals. (default: 0)", "N"),
    Flag(
        "--measurement-mode",
        WINDOWS,
        "Three windows in a row that agree, of a time or a number of requests.",
        "time_windows|count_windows",
    ),
    Flag("-p --measurement-interval", WINDOWS, "Window. (default: 5000)", "MS"),
    Flag("--measurement-request-count", WINDOWS, "Requests a window. (default: 50)", "N"),
    Flag("-s --stability-percentage", WINDOWS, "What agrees. (default: 10)", "PERCENT"),
    Flag("-r --max-trials", WINDOWS, "Windows at most. (default: 10)", "N"),
    Flag(
        "--input-data",
        DATA,
        "random, zero, a JSON file (repeatable), a folder, .npz, .npy, pictures. (default: random)",
        "KIND|PATH",
        repeated=True,
    ),
    Flag(
        "--shape",
        DATA,
        "Shape of an input whose dimensions vary, without the batch; repeatable.",
        "NAME:D1,D2",
        repeated=True,
    ),
    Flag("--string-length", DATA, "Of random strings. (default: 128)", "N"),
    Flag("--string-data", DATA, "What all strings are.", "TEXT"),
    Flag("--shared-memory", DATA, "Where tensors lie. (default: none)", "none|system|cuda"),
    Flag(
        "--output-shared-memory-size",
        DATA,
        "Bytes for an output whose size varies. (default: 102400)",
        "N",
    ),
    Flag("--num-of-sequences", SEQUENCES, "At a time, in an open loop. (default: 4)", "N"),
    Flag("--sequence-length", SEQUENCES, "Requests in one. (default: 20)", "N"),
    Flag("--sequence-length-variation", SEQUENCES, "Of it. (default: 20)", "PERCENT"),
    Flag("--sequence-id-range", SEQUENCES, "Ids to use, END not included.", "START:END"),
    Flag("--serial-sequences", SEQUENCES, "One request of a sequence at a time."),
    Flag("--streaming", REQUESTS, "Over one gRPC stream; needs -i grpc."),
    Flag("-a --async", REQUESTS, "Accepted; sending never waits for an answer."),
    Flag("--sync", REQUESTS, "Accepted; a closed loop is the same either way."),
    Flag("-H --header", REQUESTS, "A header; repeatable.", "NAME:VALUE", repeated=True),
    Flag(
        "--request-parameter",
        REQUESTS,
        "A parameter of requests; repeatable.",
        "NAME:VALUE:TYPE",
        repeated=True,
    ),
    Flag("--grpc-compression-algorithm", REQUESTS, "(default: none)", "none|gzip|deflate"),
    Flag("--input-tensor-format", REQUESTS, "Over HTTP. (default: binary)", "binary|json"),
    Flag("--output-tensor-format", REQUESTS, "Over HTTP. (default: binary)", "binary|json"),
    Flag("-f --filename", OUTPUT, "Write the figures as CSV.", "FILE"),
    Flag("--verbose-csv", OUTPUT, "With more columns."),
    Flag("--profile-export-file", OUTPUT, "Write every request's times as JSON.", "FILE"),
    Flag("-v --verbose", OUTPUT, "Say more; -v -v says most.", repeated=True),
    _ours("--no-histogram", OUTPUT, "Leave the latency histogram out."),
    Flag("--version", OUTPUT, "Print the version."),
    Flag("--collect-metrics", METRICS, "Read the server's metrics page (--verbose-csv shows it)."),
    Flag("--metrics-url", METRICS, "(default: the server's port 8002)", "HOST:PORT/metrics"),
    Flag("--metrics-interval", METRICS, "Between two readings. (default: 1000)", "MS"),
    Flag("--ssl-grpc-use-ssl", TLS, "Encrypt gRPC."),
    Flag("--ssl-grpc-root-certifications-file", TLS, "Whom to trust.", "PEM"),
    Flag("--ssl-grpc-private-key-file", TLS, "Who we are.", "PEM"),
    Flag("--ssl-grpc-certificate-chain-file", TLS, "Its certificates.", "PEM"),
    Flag("--ssl-https-verify-peer", TLS, "Check its certificate. (default: 1)", "0|1"),
    Flag("--ssl-https-verify-host", TLS, "Check its name. (default: 2)", "0|1|2"),
    Flag("--ssl-https-ca-certificates-file", TLS, "Whom to trust.", "PEM"),
    Flag("--ssl-https-client-certificate-file", TLS, "Who we are.", "FILE"),
    Flag("--ssl-https-client-certificate-type", TLS, "(default: PEM)", "PEM|DER"),
    Flag("--ssl-https-private-key-file", TLS, "Its key.", "FILE"),
    Flag("--ssl-https-private-key-type", TLS, "(default: PEM)", "PEM|DER"),
    _idle("--max-threads", _THREADS, "N"),
    _idle("--model-signature-name", "it is for TensorFlow Serving", "NAME"),
    _idle("--triton-server-directory", _IN_PROCESS, "PATH"),
    _idle("--model-repository", _IN_PROCESS, "PATH"),
    _idle("--trace-level", _TRACE, "LEVEL"),
    _idle("--trace-rate", _TRACE, "N"),
    _idle("--trace-count", _TRACE, "N"),
    _idle("--log-frequency", _TRACE, "N"),
    _idle("--enable-mpi", "several models at once are a workload of `analyze profile`"),
    _idle("--endpoint", "it is for services of another kind", "PATH"),
    _idle("--grpc-method", "it is for services of another kind", "NAME"),
    _idle("--proto", "it is for services of another kind", "FILE"),
    _old("-z", "--input-data zero"),
    _old("-d", "--concurrency-range START:END"),
    _old("-c", "--concurrency-range START:END", "N"),
    _old("-t", "--concurrency-range START", "N"),
    _old("--data-directory", "--input-data FOLDER", "PATH"),
    Flag(
        "--session-concurrency",
        REQUESTS,
        "",
        "N",
        effect=Effect.REFUSED,
        note="sessions are for OpenAI's protocol, which is not spoken here",
    ),
)

BY_KEY = {flag.key: flag for flag in FLAGS}


def spelt(key: str) -> str:
    """Return a flag's longest name, as it is written."""
    return max(BY_KEY[key].spellings, key=len)
