"""A signal at any moment, a fork at any moment, an exit at any moment.

    python tests/stress/moments.py --rounds 1000 [--what signal fork exit] [--jobs 2] [--seed N]

Each round is a process of its own (busy.py) and a random instant of its life. It must end by itself, with
the status that belongs to what happened, with every value accounted for, nothing on stderr that is not
about what happened, and no process left behind. A round that does not is shown with its seed:

    python tests/stress/busy.py WHAT SEED SPAN
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).parent
LIMIT = 150.0  # seconds of one round, on a busy machine: beyond it hangs

# What Ctrl-C may make the interpreter and pygostop say, wherever it comes: KeyboardInterrupt and nothing else.
INTERRUPTED = re.compile(
    r"""\s*$ | \s.* | Traceback\ \(most\ recent\ call\ last\):
    | (Exception\ ignored\ (in|on|while)\b.*)
    | (During\ handling\ of\ the\ above\ exception.*) | (The\ above\ exception\ was.*)
    | KeyboardInterrupt(:\ .*)?
    | pygostop:\ interrupted\ while\ \d+\ tasks?\ still\ ran:\ .*
    | pygostop:\ \d+\ tasks?\ did\ not\ stop\ until\ it\ was\ interrupted:\ .*""",
    re.VERBOSE,
)
LEFT_BY = {"sys.exit": 7, "kill": -signal.SIGTERM, "end": 0, "exception": 1}


class Span:
    """How long a round lives, as far as is known: the instants are spread over a bit more."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seconds = 0.3

    def seen(self, seconds: float) -> None:
        with self.lock:
            self.seconds += (seconds - self.seconds) / 8

    def instant(self, rng: random.Random) -> float:
        return rng.uniform(0, 1.3 * self.seconds)


def kept(what: str, status: int, out: str, err: str) -> str | None:
    """What is wrong with how a round ended; None where nothing is."""
    said = out.split()
    if said[:1] != ["ready"]:
        return "it did not begin"
    if what == "signal":
        if status == 0 and "accounted" not in said and "KeyboardInterrupt" not in err:
            return "it ended without a count"
        if status not in (0, -signal.SIGINT):
            return f"status {status}"
        for line in err.splitlines():
            if not INTERRUPTED.fullmatch(line):
                return f"it said {line!r}"
        return None
    if what == "fork":
        if status or "accounted" not in said:
            return f"status {status}"
        return "it said something" if err else None
    how = said[1] if len(said) > 1 else "nothing"
    if status != LEFT_BY.get(how):
        return f"left by {how}, and its status is {status}"
    if how == "exception":  # alone, or as the failure of a Group
        only = err.count("Leaving: on purpose") == 1 and "ignored" not in err and "pygostop:" not in err
        return None if only else "it said something else"
    return "it said something" if err else None


def one_round(what: str, seed: int, span: Span) -> str | None:
    rng = random.Random(seed)
    instant = span.instant(rng)
    command = [sys.executable, "-P", "-W", "ignore", str(HERE / "busy.py")]
    child = subprocess.Popen(
        [*command, what, str(seed), str(1.3 * span.seconds)],
        env=os.environ | {"PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # what the first line is read with is not to take the next one, which communicate would miss
        start_new_session=True,
    )
    assert child.stdout is not None
    wrong = None
    try:
        first = child.stdout.readline().decode()
        begun = time.monotonic()
        if what == "signal" and first:
            time.sleep(instant)
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGINT)
        try:
            said = child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGUSR2)  # busy.py shows its stacks
            time.sleep(1)
            os.killpg(child.pid, signal.SIGKILL)
            said = child.communicate()
            wrong = f"it had not ended after {LIMIT:g} s"
        if child.returncode == 0:
            span.seen(time.monotonic() - begun)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
            wrong = wrong or "a process of its was left"
        child.wait()
    out, err = (text.decode(errors="backslashreplace") for text in said)
    wrong = wrong or kept(what, child.returncode, first + out, err)
    if wrong is None:
        return None
    return f"moments: {what} --seed {seed}: {wrong}\n--- stdout\n{first}{out}--- stderr\n{err}---"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", nargs="+", choices=("signal", "fork", "exit"))
    parser.add_argument("--rounds", type=int, default=1000, help="of each")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background, and inherited
        signal.signal(signal.SIGINT, signal.default_int_handler)
    failures = 0
    for what in args.what or ("signal", "fork", "exit"):
        span = Span()
        failed = 0
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            rounds = [pool.submit(one_round, what, args.seed + n, span) for n in range(args.rounds)]
            for done in concurrent.futures.as_completed(rounds):
                if wrong := done.result():
                    failed += 1
                    print(wrong, file=sys.stderr, flush=True)
        print(f"moments: {args.rounds} of {what}, {failed} failed", flush=True)
        failures += failed
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
