"""What stands behind `--`, looked at before a run: Beam gets it unchanged, and drops in silence what it does not know.

Beam's Python side knows the options of those classes that are imported; a runner's own come with its module. On the
portable way a job server names those that it knows besides, and what neither knows is dropped. Dataflow, Prism, and
Flink and Spark where Beam starts their job server, may know more than can be learnt here. So a flag that is sure to be
dropped is refused, and one that may be is told.
"""

import difflib
import socket
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableRunner

CONNECT_SECONDS = 10.0


class BeamArgumentError(ValueError):
    """What stood behind `--` can't be."""


def is_local(arguments: Sequence[str]) -> bool:
    """Whether no runner is asked for, so that the pinned local one runs the phases."""
    return not any(argument.split("=")[0] in ("--runner", "--job_endpoint") for argument in arguments)


def check(arguments: Sequence[str]) -> list[str]:
    """Says before a run what Beam can't take, or would drop.

    Returns:
      A sentence where there are flags that the runner may drop.

    Raises:
      BeamArgumentError: a wrong value, an unknown runner, nobody listens at the job endpoint, or a flag that is sure to
        be dropped.
    """
    _parsed(arguments)
    if is_local(arguments):
        return _told(_unknown(arguments, ()), sure=True)
    runner = _runner(arguments)  # whose module may bring options of its own
    endpoint = PipelineOptions(list(arguments)).view_as(PortableOptions).job_endpoint
    if endpoint and not isinstance(runner, PortableRunner):
        raise BeamArgumentError(
            f"--job_endpoint={endpoint!r} (behind --) is of no use to {type(runner).__name__}, Beam's default: add "
            f"--runner=PortableRunner"
        )
    portable = type(runner) is PortableRunner
    if portable and not endpoint:
        raise BeamArgumentError("--runner=PortableRunner (behind --) needs --job_endpoint=HOST:PORT of a job server")
    described = _described(endpoint) if endpoint and endpoint != "embed" else ()
    return _told(_unknown(arguments, described), sure=portable)


def _parsed(arguments: Sequence[str]) -> tuple[ArgumentParser, list[str]]:
    """Beam's parser of all options that are known now, and what it leaves of the arguments.

    Raises:
      BeamArgumentError: it refuses one.
    """

    def refuse(message: str) -> NoReturn:
        raise BeamArgumentError(f"Beam refuses {' '.join(arguments)!r} (behind --): {message}")

    if {"-h", "--help"} & set(arguments):
        refuse("its help would end the run; gristmill's own is asked for before --")
    made: list[ArgumentParser] = []
    PipelineOptions([]).get_all_options(add_extra_args_fn=made.append)
    parser = made[0]
    parser.error = refuse  # type: ignore[method-assign]  # Beam's would print its usage and end the process
    return parser, [word for word in parser.parse_known_args(list(arguments))[1] if word != "--"]


def _runner(arguments: Sequence[str]) -> Any:
    try:
        return beam.Pipeline(options=PipelineOptions(list(arguments))).runner
    except (ValueError, ImportError, AttributeError) as error:
        words = " ".join(str(error).split())
        raise BeamArgumentError(f"Beam refuses {' '.join(arguments)!r} (behind --): {words}") from error


def _unknown(arguments: Sequence[str], described: Sequence[str]) -> dict[str, str]:
    """Flags that neither Beam here nor its job server knows, each with the closest known one or nothing."""
    parser, rest = _parsed(arguments)
    known = [*described, *(flag for action in parser._actions for flag in action.option_strings)]
    flags = [word.partition("=")[0] for word in rest if word.startswith("-")] or rest
    close = {flag: difflib.get_close_matches(flag.replace("-", "_"), known, 1) for flag in flags if flag not in known}
    return {flag: found[0] if found else "" for flag, found in close.items()}


def _told(unknown: dict[str, str], *, sure: bool) -> list[str]:
    if not unknown:
        return []
    named = ", ".join(f"{flag!r} (did you mean {close}?)" if close else repr(flag) for flag, close in unknown.items())
    if sure:
        raise BeamArgumentError(
            f"Beam knows no {named} among what stands behind --, and would drop it without a word; "
            "gristmill's own options stand before --"
        )
    return [f"Beam's Python side knows no {named} among what stands behind --: the runner may know it, or drop it"]


def _described(endpoint: str) -> list[str]:
    """Flags that a job server knows besides Beam's Python side.

    Raises:
      BeamArgumentError: none answers.
    """
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise BeamArgumentError(
            f"nobody answers at --job_endpoint={endpoint!r}: {error}; start the job server"
        ) from error
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        asked = beam_job_api_pb2.DescribePipelineOptionsRequest()
        try:
            answer = service.DescribePipelineOptions(asked, timeout=CONNECT_SECONDS)
        except grpc.RpcError as error:
            raise BeamArgumentError(
                f"what answers at --job_endpoint={endpoint!r} is no Beam job server ({error.code().name}); start "
                "one, or give its port"
            ) from error
    return [f"--{option.name}" for option in answer.options]
