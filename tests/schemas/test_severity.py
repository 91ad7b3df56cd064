from schemas.severity import LEVELS, Severity


def test_codes_in_snapshots_and_kernels_never_change_their_meaning() -> None:
    assert {code.value: code.level for code in Severity} == {0: None, 1: "info", 2: "warn", 3: "critical"}
    assert [Severity.of(level).value for level in LEVELS] == [1, 2, 3]
