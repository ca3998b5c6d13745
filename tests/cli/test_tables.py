"""Tables that verbs leave: whole, whatever a name holds."""

import csv
from pathlib import Path

from polycontrast.cli.tables import write_failures


def test_no_name_breaks_the_table_of_failures(tmp_path: Path) -> None:
    rows = [("M\udcfcller", "/in/M\udcfcller_t2.nii.gz: damaged"), ("Zo\u00eb", 'a "reason", and more')]
    table = write_failures(tmp_path / "failures.csv", rows)
    assert table is not None
    with table.open(encoding="utf-8", newline="") as file:
        _, *told = csv.reader(file)
    assert told == [[r"M\udcfcller", r"/in/M\udcfcller_t2.nii.gz: damaged"], list(rows[1])]
