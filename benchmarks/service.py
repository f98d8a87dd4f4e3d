"""The service under load: clients that send one picture after the other over this machine's own
loopback, compared with `wrinkle predict` on the same pictures.

    python benchmarks/service.py FGNET/images --clients 100 --seconds 300

Prints photographs a second of both, the service's latencies, how often each status was answered,
and its memory. The clients run in this process and share the cores with the service; their
processor time is printed too. `wrinkle predict` is measured before and after, without its start.
"""

import argparse
import asyncio
import re
import resource
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

PROGRAM = [sys.executable, "-m", "wrinkle"]


def predict_rate(pictures: list[Path]) -> float:
    """Photographs a second of `wrinkle predict`, its start and the first picture left out."""
    command = [*PROGRAM, "predict", "--json"]
    with subprocess.Popen([*command, *map(str, pictures)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # Lines come in groups: all that come with the first one are not counted.
        lines = [time.perf_counter() for _ in process.stdout]
    later = [moment for moment in lines if moment > lines[0] + 0.02]
    return len(later) / (later[-1] - lines[0])


def requests_of(pictures: list[Path]) -> list[bytes]:
    """Complete requests, made once, so that the clients cost little."""
    found = []
    for path in pictures:
        part = f'name="pictures"; filename="{path.name}"'
        body = f"--frontier\r\nContent-Disposition: form-data; {part}\r\n\r\n".encode()
        body += path.read_bytes() + b"\r\n--frontier--\r\n"
        head = (
            "POST /v1/ages HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: multipart/form-data; boundary=frontier\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found


async def client(
    port: int, sent: list[bytes], first: int, end: float, seen: list[tuple[float, float, int]]
) -> None:
    """Send one request after the other; note when each began, how long it took, and its status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = first
    while time.perf_counter() < end:
        began = time.perf_counter()
        writer.write(sent[number % len(sent)])
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        await reader.readexactly(int(length[1]))
        status = int(head.split(b" ", 2)[1])
        seen.append((began, time.perf_counter() - began, status))
        number += 1
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if status == 429:
            await asyncio.sleep(1)
    writer.close()


async def load(
    port: int, sent: list[bytes], clients: int, seconds: float
) -> list[tuple[float, float, int]]:
    """All clients for some seconds; failed connections count as status 0."""
    seen: list[tuple[float, float, int]] = []
    end = time.perf_counter() + seconds
    runs = [client(port, sent, n * len(sent) // clients, end, seen) for n in range(clients)]
    for failed in await asyncio.gather(*runs, return_exceptions=True):
        if failed is not None:
            print(f"a client failed: {failed!r}")
            seen.append((time.perf_counter(), 0.0, 0))
    return seen


def processor_seconds(process: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def memory(port: int) -> float:
    """The service's resident memory in MiB."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.MULTILINE)
    assert found is not None
    return float(found[1]) / (1 << 20)


def measure_service(pictures: list[Path], clients: int, seconds: float) -> float:
    """Load a service, print what was seen, and return its photographs a second."""
    command = [*PROGRAM, "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r":(\d+): ", line)
        if found is None:
            sys.exit(line + process.stderr.read())
        port = int(found[1])
        sent = requests_of(pictures)
        asyncio.run(load(port, sent, clients, 5))  # everything is used once
        before, used, own = memory(port), processor_seconds(process.pid), time.process_time()
        began = time.perf_counter()
        seen = asyncio.run(load(port, sent, clients, seconds))
        took = time.perf_counter() - began
        used, own = processor_seconds(process.pid) - used, time.process_time() - own
        after = memory(port)
        process.send_signal(signal.SIGTERM)
        errors = process.stderr.read()
    good = sorted(duration for _, duration, status in seen if status == 200)
    rate = len(good) / took
    cuts = statistics.quantiles(good, n=100)
    print(f"service: {rate:.1f} photographs a second, {clients} clients, {took:.0f} s")
    print(f"  latency: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s, longest {good[-1]:.2f} s")
    print(f"  statuses: {dict(sorted(Counter(status for *_, status in seen).items()))}")
    print(f"  processor: {1000 * used / len(good):.1f} ms a photograph, clients {own:.1f} s")
    print(f"  memory: {before:.0f} MiB before, {after:.0f} MiB after")
    print(f"  exit code {process.returncode}, {len(errors)} characters on standard error")
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("pictures", type=Path, help="a folder of photographs")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--limit", type=int, default=400, help="how many photographs")
    args = parser.parse_args()
    pictures = sorted(p for p in args.pictures.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    pictures = pictures[: args.limit]
    # Each client needs a connection.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    first = predict_rate(pictures)
    rate = measure_service(pictures, args.clients, args.seconds)
    second = predict_rate(pictures)
    mean = (first + second) / 2
    print(f"predict: {first:.1f} and {second:.1f} photographs a second")
    print(f"service / predict: {rate / mean:.2f}")


if __name__ == "__main__":
    main()
