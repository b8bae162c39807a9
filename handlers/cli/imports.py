"""``import customers FILE``: CSV in UTF-8 (or GB18030, as spreadsheets in China write it)."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from handlers.cli.command import AddCommand, Parsers, opened, progress
from server.domain.errors import Malformed, NotFound
from server.services.import_customers import Rejected, import_customers, read_header
from server.settings import Settings

CELL_MAX = 100_000
TELL_EVERY = 10_000


def add_commands(add: AddCommand, parsers: Parsers) -> None:
    group = parsers.add_parser("import", help="take records in from a file").add_subparsers(
        dest="what", required=True, metavar="WHAT"
    )
    command = add("customers", customers, "customers from a CSV file with a header line", group)
    command.add_argument("file", type=Path, metavar="FILE")
    command.add_argument(
        "--system",
        default="import",
        help="name of the system that the external ids belong to (default: import)",
    )
    command.add_argument(
        "--country", default="", help="how national numbers are read (else region.default_country)"
    )
    command.add_argument(
        "--errors", type=Path, default=None, help="where rows that were not taken go, with reasons"
    )


async def customers(args: argparse.Namespace, settings: Settings) -> int:
    source: Path = args.file
    if not source.is_file():
        raise NotFound(f"{source}: there is no such file")
    encoding = _encoding(source)
    country = (args.country or settings.region.default_country).upper()
    errors: Path = args.errors or source.with_name(source.stem + ".errors.csv")
    csv.field_size_limit(CELL_MAX)
    taken = skipped = 0
    rejected: list[Rejected] = []
    with source.open(encoding=encoding, newline="") as file:
        head = file.read(4096)
        file.seek(0)
        delimiter = max(",;\t", key=head.partition("\n")[0].count)
        lines = _lines(csv.reader(file, delimiter=delimiter), source)
        _, header = next(lines, (1, ()))
        places = read_header(header)
        told = 0
        async with opened(settings) as pool:
            async for step in import_customers(pool, lines, places, country=country, system=args.system):
                taken += step.taken
                skipped += step.skipped
                rejected.extend(step.rejected)
                if taken + skipped - told >= TELL_EVERY:
                    told = taken + skipped
                    progress(f"{taken:,} taken, {skipped:,} known already, {len(rejected):,} not taken")
    if rejected:
        with errors.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["line", "reason", *header])
            writer.writerows([one.line, one.reason, *one.row] for one in rejected)
        print(f"{len(rejected)} rows were not taken: see {errors}", file=sys.stderr)
    print(f"{taken} customers taken, {skipped} known already, {len(rejected)} not taken")
    return 1 if rejected else 0


def _encoding(source: Path) -> str:
    """UTF-8 unless its first megabyte is not."""
    with source.open("rb") as file:
        head = file.read(1_000_000)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        head[: head.rfind(b"\n") + 1 or None].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def _lines(reader: Iterator[list[str]], source: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """(line, cells) without empty lines. Raises Malformed with the line that cannot be read."""
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, UnicodeError) as bad:
            raise Malformed(f"{source}, line {getattr(reader, 'line_num', 0) + 1}: {bad}") from None
        if any(cell.strip() for cell in cells):
            yield int(getattr(reader, "line_num", 0)), cells
