from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "Address Block,Name,RFC,Allocation Date,Termination Date,Source,Destination,Forwardable,Globally Reachable,Reserved-by-Protocol\n"


def written(tmp_path: Path, *rows: tuple[str, str]) -> Path:
    file = tmp_path / "registry.csv"
    file.write_text(
        HEAD + "".join(f'"{block}",x,[RFC1],x,N/A,True,True,True,{reach},False\n' for block, reach in rows)
    )
    return file


def test_blocks_that_are_refused_pass_and_those_that_are_reachable_do_not_count(tmp_path: Path) -> None:
    said = StringIO()
    rows = [
        ("10.0.0.0/8", "False"), ("192.0.0.0/24 [2]", "False [2]"), ("192.0.0.170/32, 192.0.0.171/32", "False"),
        ("2001:db8::/32", "False"), ("8.8.8.0/24", "True"), ("2002::/16 [3]", "N/A [3]"),
    ]  # fmt: skip
    call_command("check_addresses", written(tmp_path, *rows), stdout=said)
    assert said.getvalue() == "None of 6 special blocks can be reached.\n"


def test_a_new_block_that_the_table_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"should not: 8\.8\.8\.0/24, 2606:4700::/32\."):
        call_command(
            "check_addresses",
            written(tmp_path, ("8.8.8.0/24", "False"), ("10.0.0.0/8", "False"), ("2606:4700::/32", "False")),
        )


@pytest.mark.parametrize("text", ["", HEAD, "a,b\n1,2\n", HEAD + "no address,x,x,x,x,x,x,x,False,x\n"])
def test_another_file_is_refused_plainly(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.csv"
    file.write_text(text)
    with pytest.raises(CommandError, match=r"other\.csv"):
        call_command("check_addresses", file)


def test_a_file_that_is_not_there_is_refused_plainly(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="is not one of"):
        call_command("check_addresses", tmp_path / "nothing.csv")
