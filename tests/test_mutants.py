"""What `make mutants` would break is there to be broken; the breaking itself takes minutes."""

import re

import pytest

from tests.conftest import ROOT
from tests.mutants import Mutant, mutants


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_it_still_applies(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    broken = mutant.broken(source)
    if mutant.file.endswith(".py"):
        compile(broken, mutant.file, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        name = name.partition("[")[0]
        assert re.search(rf"^def {name}\b", (ROOT / file).read_text(), re.M) or not name


def test_there_are_enough_of_them_and_each_is_one_of_its_own() -> None:
    breaks = mutants()
    assert len({mutant.name for mutant in breaks}) == len(breaks) >= 15
    assert len({(mutant.file, mutant.before) for mutant in breaks}) == len(breaks)
