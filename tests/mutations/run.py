"""Breaks the crate on purpose, in one way at a time, and prints which layer of tests fails.

    python3 tests/mutations/run.py           all mutations; one that no layer notices is a failure
    python3 tests/mutations/run.py forget    the mutations whose name contains this

It works on a copy of the tree in target/mutations, and takes a minute or two per mutation.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

from mutations import MUTATIONS

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutations"
TREE = WORK / "tree"

LAYERS = {
    "unit": ["--lib"],
    "scenarios": [
        "--test", "all_shards", "--test", "records", "--test", "checkpoints", "--test", "leases",
    ],
    "servers": ["--test", "servers", "--", "fake::"],
    "simulation": ["--test", "simulation", "--test", "checkpoint_simulation"],
}
TIMEOUT = 600  # seconds for running a layer, which takes one minute; a test that hangs has failed


def copy_tree():
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )
    for name in listed.stdout.splitlines():
        source, target = ROOT / name, TREE / name
        if not source.is_file():
            continue
        # An unchanged file keeps its time, and is not built again.
        if target.exists() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    lock = ROOT / "Cargo.lock"
    if lock.exists() and not (TREE / "Cargo.lock").exists():
        shutil.copyfile(lock, TREE / "Cargo.lock")


def cargo(*args, timeout=TIMEOUT):
    env = dict(
        os.environ,
        CARGO_TARGET_DIR=str(WORK / "build"),
        SIMULATION_SEEDS="200",
        CHECKPOINT_SIMULATION_SEEDS="100",
    )
    env.pop("CI", None)  # the independent servers are not needed
    run = subprocess.Popen(
        ["cargo", "test", "--quiet", *args],
        cwd=TREE,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = run.communicate(timeout=timeout)
        return run.returncode, output
    except subprocess.TimeoutExpired:
        # The tests run in processes of their own.
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        return "hangs", ""


def layer_fails(args):
    # The build does not count towards the timeout.
    at = args.index("--") if "--" in args else len(args)
    code, output = cargo(*args[:at], "--no-run", timeout=None)
    return (code, output) if code else cargo(*args)


def main():
    words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    copy_tree()
    for layer, args in LAYERS.items():
        code, output = layer_fails(args)
        if code != 0:
            print(output[-4000:])
            sys.exit(f"the layer {layer} fails without a mutation")
    survivors = []
    print("| mutation | " + " | ".join(LAYERS) + " |")
    print("|---|" + "---|" * len(LAYERS), flush=True)
    for mutation in chosen:
        file = TREE / mutation.file
        text = file.read_text()
        count = text.count(mutation.old)
        if count != 1:
            sys.exit(f"{mutation.name}: {mutation.file} has the text {count} times: {mutation.old}")
        file.write_text(text.replace(mutation.old, mutation.new))
        try:
            code, output = cargo("--lib", "--no-run", timeout=None)
            if code != 0:
                print(output[-4000:])
                sys.exit(f"{mutation.name} does not build")
            noticed = {}
            for layer, args in LAYERS.items():
                code, _ = layer_fails(args)
                noticed[layer] = "hangs" if code == "hangs" else "" if code == 0 else "fails"
        finally:
            file.write_text(text)
        if not any(noticed.values()):
            survivors.append(mutation.name)
        print(f"| {mutation.name} | " + " | ".join(noticed.values()) + " |", flush=True)
    if survivors:
        sys.exit("no layer notices: " + "; ".join(survivors))
    print(f"\n{len(chosen)} mutations, each noticed")


if __name__ == "__main__":
    main()
