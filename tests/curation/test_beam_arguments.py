"""What stands behind `--`: nothing of it is lost without a word."""

import socket
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableRunner

from curation import beam_arguments
from curation.beam_arguments import BeamArgumentError, check

GOOD = {
    "nothing": (),
    "local": ("--direct_runner_bundle_repeat=2", "--direct_running_mode", "multi_threading"),
    "experiments": ("--experiments=a,b", "--experiments", "c", "--sdk_worker_parallelism=2"),
    "embedded": ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK", "--parallelism=2"),
    "flink": ("--runner=FlinkRunner", "--flink_master=h:1", "--max_parallelism", "8"),
    "dataflows_own": ("--project=proj", "--region=r", "--disk_size_gb=50", "--sdk_container_image=i"),
}


@pytest.mark.parametrize("case", GOOD)
def test_what_beam_knows(case: str) -> None:
    assert check(GOOD[case]) == []


EMBEDDED = ("--runner=PortableRunner", "--job_endpoint=embed")
REFUSED = {
    "misspelt": (("--runer=FlinkRunner",), "Beam knows no '--runer' (did you mean --runner?) among"),
    "hyphen": ((*EMBEDDED, "--flink-master=x"), "knows no '--flink-master' (did you mean --flink_master?) among"),
    "with_a_word": (("--frobnicate", "3"), "Beam knows no '--frobnicate' among what stands behind --, and would drop"),
    "two": (("--frobnicate", "--runer=x"), "knows no '--frobnicate', '--runer' (did you mean --runner?) among"),
    "ours": (("--workers", "3"), "gristmill's own options stand before --"),
    "a_word": (("crawl",), "Beam knows no 'crawl' among"),
    "behind_another": (("--", "--frobnicate"), "Beam knows no '--frobnicate' among"),
    "no_value": (("--runner",), "Beam refuses '--runner' (behind --): argument --runner: expected one argument"),
    "no_number": (("--direct_num_workers=x",), "argument --direct_num_workers: invalid int value: 'x'"),
    "no_choice": (("--direct_running_mode=x",), "argument --direct_running_mode: invalid choice: 'x'"),
    "help": (("--help",), "gristmill's own is asked for before --"),
    "unknown_runner": (("--runner=Nope",), "(behind --): Unexpected pipeline runner: Nope."),
    "no_module": (("--runner=a.b.C",), "No module named 'a'"),
    "no_class": (("--runner=os.C",), "module 'os' has no attribute 'C'"),
    "dataflow": (("--runner=DataflowRunner",), "Missing required option: project. Missing required option: region."),
    "no_runner": (("--job_endpoint=h:1",), "--job_endpoint='h:1' (behind --) is of no use to SwitchingDirectRunner"),
    "no_endpoint": (("--runner=PortableRunner",), "--runner=PortableRunner (behind --) needs --job_endpoint=HOST:PORT"),
    "no_port": ((EMBEDDED[0], "--job_endpoint=h"), "nobody answers at --job_endpoint='h': "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_beam_would_drop_or_refuse(case: str) -> None:
    args, words = REFUSED[case]
    with pytest.raises(BeamArgumentError) as caught:
        check(args)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("runner", ["FlinkRunner", "SparkRunner", "PrismRunner", "DirectRunner"])
def test_what_a_runner_may_know(runner: str) -> None:
    (words,) = check((f"--runner={runner}", "--flink_mster=h:1", "--object_reuse"))
    assert words == (
        "Beam's Python side knows no '--flink_mster' (did you mean --flink_master?), '--object_reuse' among what "
        "stands behind --: the runner may know it, or drop it"
    )


class JobServer(beam_job_api_pb2_grpc.JobServiceServicer):  # type: ignore[misc]
    """Knows one option that Beam's Python side does not."""

    def DescribePipelineOptions(self, request: Any, context: Any) -> Any:  # noqa: N802  (gRPC's name)
        option = beam_job_api_pb2.PipelineOptionDescriptor(name="object_reuse")
        return beam_job_api_pb2.DescribePipelineOptionsResponse(options=[option])


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A job server."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(JobServer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


def test_a_job_server_is_asked_what_it_knows(endpoint: str) -> None:
    args = ("--runner=PortableRunner", f"--job_endpoint={endpoint}", "--object_reuse")
    assert check(args) == []
    with pytest.raises(BeamArgumentError, match=r"knows no '--object_rouse' \(did you mean --object_reuse\?\) among"):
        check((*args, "--object_rouse"))


class MyRunner(PortableRunner):  # type: ignore[misc]
    """Somebody's own, which may pass on what Beam does not know."""


def test_ones_own_runner_at_a_job_server(endpoint: str) -> None:
    runner = f"--runner={MyRunner.__module__}.{MyRunner.__name__}"
    assert check((runner, f"--job_endpoint={endpoint}", "--object_reuse")) == []
    assert len(check((runner, f"--job_endpoint={endpoint}", "--frobnicate"))) == 1


def test_nobody_at_the_endpoint() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = rf"^nobody answers at --job_endpoint='localhost:{port}': .*; start the job server$"
    with pytest.raises(BeamArgumentError, match=words):
        check(("--runner=PortableRunner", f"--job_endpoint=localhost:{port}"))


def test_somebody_else_at_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who takes connections and hangs up, or says nothing."""
    monkeypatch.setattr(beam_arguments, "CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        args = ("--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(BeamArgumentError, match=r"is no Beam job server \(DEADLINE_EXCEEDED\); start one"):
            check(args)
    with socket.create_server(("127.0.0.1", 0)) as rude:
        closing = threading.Thread(target=_hang_up, args=(rude,), daemon=True)
        closing.start()
        args = ("--runner=PortableRunner", f"--job_endpoint=127.0.0.1:{rude.getsockname()[1]}")
        with pytest.raises(BeamArgumentError, match=r"is no Beam job server \((UNAVAILABLE|DEADLINE_EXCEEDED)\)"):
            check(args)


def _hang_up(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return
