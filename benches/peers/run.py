#!/usr/bin/env python3
"""Compares this crate with its peers by processor time; README.md explains the table.

    python3 benches/peers/run.py                             all clients, three rounds
    python3 benches/peers/run.py --rounds 1 --scale 0.05     a trial
    python3 benches/peers/run.py --workload large 'crate-*'  some clients, with large records
"""

import argparse
import fnmatch
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
SOURCES = HERE / "clients"
BUILD = HERE / ".build"
LOGS = BUILD / "logs"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", BUILD / "target")).resolve()
PROGRAMS = TARGET / "release"
JAVA_LIBRARIES = BUILD / "java" / "lib"
JAVA_CLASSES = BUILD / "java" / "classes"
VENV = BUILD / "venv"
PYTHON = VENV / "bin" / "python"
SDK_GO = BUILD / "sdk-go"

MINISTACK = "ministack==1.5.33"  # its DynamoDB, for the leases of the KCLs
KCL_RS = "kcl-rs==0.1.4"
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

FLOOR = "sdk-rust-json"  # the client that all others are compared with
SHARDS = 8
CHECKSUM_PER_RECORD = 6  # see `data` in server/kinesis.rs
LIMIT = 300  # seconds for one run; a KCL may take 100 of them until it holds all leases


class Workload(NamedTuple):
    page_records: int
    record_bytes: int
    total_records: int  # what a client reads, with its warm-up


WORKLOADS = {
    "small": Workload(10_000, 100, 8_000_000),
    "large": Workload(1_000, 10_240, 256_000),
}


class Client(NamedTuple):
    name: str
    needs: list  # keys of BUILDERS
    command: list
    share: float = 1.0  # the part of the workload that it reads
    warm_up: float = 0.2  # the part of that which is not measured

    def uses_dynamodb(self):
        return "ministack" in self.needs


def all_clients():
    for allocator in ["", "-mimalloc"]:
        for case in ["bare", "batches", "records", "auto_ack"]:
            for wire_format in ["json", "cbor"]:
                prefix = "sdk-rust" if case == "bare" else f"crate-{case}"
                program = PROGRAMS / f"client{allocator}"
                command = [program, case, wire_format]
                yield Client(f"{prefix}-{wire_format}{allocator}", ["rust"], command)
    yield Client("sdk-go", ["go"], [SDK_GO])
    classes = f"{JAVA_CLASSES}:{JAVA_LIBRARIES}/*"
    java = ["java", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes]
    # The compiler of Java takes longer until its code is as fast as it gets.
    yield Client("sdk-java", ["java"], [*java, "Sdk"], warm_up=0.4)
    yield Client("kcl-java", ["java", "ministack"], [*java, "Kcl"], warm_up=0.4)
    kcl_rs = [PYTHON, SOURCES / "python" / "kcl_rs_consumer.py"]
    yield Client("kcl-rs", ["kcl-rs", "ministack"], kcl_rs, share=0.4)


class Skipped(Exception):
    """Why a client cannot run on this machine."""


def require(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skipped(f"{program} is not installed")


def build(name, command, **options):
    log = LOGS / f"build-{name}.log"
    with log.open("w") as file:
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise Skipped(f"its build failed: see {log.relative_to(HERE)}")


def build_rust():
    require("cargo")
    manifest = HERE / "Cargo.toml"
    command = ["cargo", "build", "--release", "--manifest-path", manifest, "--target-dir", TARGET]
    build("rust", command)


def build_go():
    require("go")
    build("go", ["go", "build", "-o", SDK_GO, "."], cwd=SOURCES / "go")


def build_java():
    require("java", "javac", "mvn")
    if not JAVA_LIBRARIES.exists():
        # Under another name at first, so that an interrupted download does not count.
        part = JAVA_LIBRARIES.with_name("part")
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={part}"]
        pom = SOURCES / "java" / "pom.xml"
        build("maven", ["mvn", "-q", "-B", "-f", pom, COPY_DEPENDENCIES, *options])
        part.rename(JAVA_LIBRARIES)
    sources = sorted((SOURCES / "java").glob("*.java"))
    command = ["javac", "-nowarn", "--release", "17", "-d", JAVA_CLASSES]
    build("java", [*command, "-cp", f"{JAVA_LIBRARIES}/*", *sources])


def install(package):
    marker = VENV / f"{package}.installed"
    if marker.exists():
        return
    if not PYTHON.exists():
        build("venv", [sys.executable, "-m", "venv", VENV])
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    build(package, [*pip, package])
    marker.touch()


BUILDERS = {
    "rust": build_rust,
    "go": build_go,
    "java": build_java,
    "ministack": lambda: install(MINISTACK),
    "kcl-rs": lambda: install(KCL_RS),
}


def build_all(clients):
    """Builds what the clients need; returns which of BUILDERS failed, and why."""
    failures = {}
    for need in dict.fromkeys(need for client in clients for need in client.needs):
        print(f"building: {need}", file=sys.stderr)
        try:
            BUILDERS[need]()
        except Skipped as reason:
            failures[need] = str(reason)
    return failures


def start_server(workload, core):
    numbers = [SHARDS, workload.page_records, workload.record_bytes]
    command = ["taskset", "-c", core, PROGRAMS / "server", *map(str, numbers)]
    log = (LOGS / "server.log").open("w")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    port = server.stdout.readline().strip()
    if not port:
        sys.exit(f"the server does not start: see {LOGS.relative_to(HERE)}/server.log")
    return server, f"http://127.0.0.1:{port}"


def start_dynamodb(core):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "kinesis,dynamodb"}
    command = ["taskset", "-c", core, VENV / "bin" / "ministack"]
    log = (LOGS / "ministack.log").open("w")
    server = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return server, f"http://127.0.0.1:{port}"
        except ConnectionRefusedError:
            time.sleep(0.1)
    server.kill()
    sys.exit(f"ministack does not start: see {LOGS.relative_to(HERE)}/ministack.log")


def environment(kinesis_url, dynamodb_url, warm_up, measured):
    # Without the user's own settings of AWS, so that no request can leave this machine.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return kept | {
        "AWS_ENDPOINT_URL": dynamodb_url,
        "AWS_ENDPOINT_URL_KINESIS": kinesis_url,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
        "AWS_ENDPOINT_URL_CLOUDWATCH": dynamodb_url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SHARDS": str(SHARDS),
        "WARM_UP_RECORDS": str(warm_up),
        "MEASURED_RECORDS": str(measured),
    }


def peak_memory(pid):
    """Returns the megabytes that a process has had in memory at most."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e6


def run(client, workload, scale, core, kinesis_url, dynamodb_url):
    """Runs a client once; returns its figures, or None if it failed."""
    total = workload.total_records * scale * client.share
    warm_up = round(total * client.warm_up)
    measured = round(total) - warm_up
    log = (LOGS / f"{client.name}.log").open("w")
    with log, subprocess.Popen(
        ["taskset", "-c", core, *client.command],
        env=environment(kinesis_url, dynamodb_url, warm_up, measured),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    ) as process:
        timer = threading.Timer(LIMIT, process.kill)
        timer.start()
        try:
            lines = (line for line in process.stdout if line.startswith("{"))
            result = json.loads(next(lines, "null"))
            if result is None:
                return None
            # The client waits until its standard input is closed.
            peak = peak_memory(process.pid)
        finally:
            timer.cancel()
            process.kill()
    records, seconds = result["records"], result["seconds"]
    is_whole = (
        records >= measured
        and result["bytes"] == records * workload.record_bytes
        and result["checksum"] == records * CHECKSUM_PER_RECORD
    )
    if not is_whole:
        print(f"{client.name} has read other records: {result}", file=sys.stderr)
        return None
    return {
        "processor": result["processor_seconds"] / records * 1e6,
        "records": records / seconds,
        "megabytes": result["bytes"] / seconds / 1e6,
        "busy": result["processor_seconds"] / seconds,
        "peak": peak,
    }


COLUMNS = ["client", "processor s per 1e6 records", "least to most", f"/ {FLOOR}"]
COLUMNS += ["records/s", "MB/s", "busy", "peak MB"]


def row(client, rounds, floors):
    """Returns the cells of a client's figures, one of each round; None is a failed one."""
    succeeded = [figures for figures in rounds if figures]
    failed = len(rounds) - len(succeeded)
    if not succeeded:
        return [client.name, f"failed: see {LOGS.relative_to(HERE)}/{client.name}.log"]

    def median(key):
        return statistics.median(figures[key] for figures in succeeded)

    costs = [figures["processor"] for figures in succeeded]
    # A ratio compares the runs of one round, since the speed of a machine drifts.
    pairs = [(figures, floor) for figures, floor in zip(rounds, floors) if figures and floor]
    ratios = [figures["processor"] / floor["processor"] for figures, floor in pairs]
    return [
        client.name + (f" ({failed} of {len(rounds)} failed)" if failed else ""),
        f"{median('processor'):.3f}",
        f"{min(costs):.3f} to {max(costs):.3f}",
        f"{statistics.median(ratios):.2f}" if ratios else "",
        f"{median('records'):,.0f}",
        f"{median('megabytes'):,.0f}",
        f"{median('busy'):.2f}",
        f"{median('peak'):,.0f}",
    ]


def print_table(rows):
    rows = [COLUMNS, *(cells + [""] * (len(COLUMNS) - len(cells)) for cells in rows)]
    # A reason may be wider than the figures of its column.
    figures = [row for row in rows if row[-1]]
    widths = [max(len(row[n]) for row in figures) for n in range(len(COLUMNS))]
    widths[0] = max(len(row[0]) for row in rows)
    for number, cells in enumerate(rows):
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        print(f"| {' | '.join(padded)} |")
        if number == 0:
            marks = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
            print(f"|{'|'.join(marks)}|")


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clients", nargs="*", default=["*"], help="names or patterns")
    parser.add_argument("--workload", choices=WORKLOADS, default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the workload")
    return parser.parse_args()


def main():
    args = parse_args()
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))]
    if len(cores) < 2 or not shutil.which("taskset"):
        sys.exit("two cores and taskset are needed: one core for the client, one for the server")
    client_core, server_core = cores[:2]
    workload = WORKLOADS[args.workload]

    def is_chosen(client):
        return any(fnmatch.fnmatch(client.name, pattern) for pattern in args.clients)

    clients = [client for client in all_clients() if is_chosen(client) or client.name == FLOOR]
    LOGS.mkdir(parents=True, exist_ok=True)
    failures = build_all(clients)
    if "rust" in failures:
        sys.exit(f"the server cannot be built: {failures['rust']}")
    reasons = {
        client.name: failures[need]
        for client in clients
        for need in client.needs
        if need in failures
    }
    able = [client for client in clients if client.name not in reasons]

    servers = []
    rounds = {client.name: [] for client in able}
    try:
        server, kinesis_url = start_server(workload, server_core)
        servers.append(server)
        dynamodb_url = "http://127.0.0.1:9"  # nothing listens there
        if any(client.uses_dynamodb() for client in able):
            server, dynamodb_url = start_dynamodb(server_core)
            servers.append(server)
        for number in range(args.rounds):
            for client in able:
                urls = kinesis_url, dynamodb_url
                figures = run(client, workload, args.scale, client_core, *urls)
                rounds[client.name].append(figures)
                cost = f"{figures['processor']:.3f}" if figures else "failed"
                print(f"round {number + 1}: {client.name}: {cost}", file=sys.stderr)
    finally:
        for server in servers:
            server.kill()
            server.wait()

    print_table(
        [client.name, f"skipped: {reasons[client.name]}"]
        if client.name in reasons
        else row(client, rounds[client.name], rounds[FLOOR])
        for client in clients
    )
    sys.exit(any(figures is None for results in rounds.values() for figures in results))


if __name__ == "__main__":
    main()
