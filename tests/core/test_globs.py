"""A glob matches what fnmatch says, and a selector what its globs say one by one."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.globs import SeriesSelector, glob_matches, is_literal, tags_match
from schemas.selection import Target, Where

GLOBS = st.one_of(
    st.text(alphabet="ab*?[]!-^\\.\n", min_size=1, max_size=8),
    st.sampled_from(["*", "?", "[ab]", "[!a]", "[a-b]", "[", "]", "[]", "a[b", "**", "A", "cpu-total"]),
)
TEXTS = st.one_of(
    st.text(alphabet="abAB*?[]!-^\\.\n", max_size=8), st.sampled_from(["cpu-total", "CPU-TOTAL", "[ab]", "é"])
)
TAGS = st.dictionaries(st.sampled_from(["ns_id", "region", "host"]), TEXTS, max_size=3)


@given(glob=GLOBS, text=TEXTS)
def test_a_glob_matches_what_fnmatch_says(glob: str, text: str) -> None:
    assert glob_matches(glob, text) is fnmatchcase(text, glob)
    assert glob_matches(glob, glob) is fnmatchcase(glob, glob)


@given(glob=GLOBS, text=TEXTS)
def test_a_literal_matches_itself_alone(glob: str, text: str) -> None:
    if is_literal(glob):
        assert fnmatchcase(text, glob) is (text == glob)


@given(
    measurement=GLOBS,
    field=GLOBS,
    globs=st.dictionaries(st.sampled_from(["ns_id", "host"]), GLOBS, max_size=2),
    targets=st.lists(st.fixed_dictionaries({}, optional={"ns_id": GLOBS, "region": GLOBS}), max_size=2),
    name=st.tuples(TEXTS, TEXTS),
    tags=TAGS,
)
def test_a_selector_matches_what_its_globs_say_one_by_one(
    measurement: str,
    field: str,
    globs: dict[str, str],
    targets: list[dict[str, str]],
    name: tuple[str, str],
    tags: dict[str, str],
) -> None:
    where = Where(measurement=measurement, field=field, tags=globs)
    selector = SeriesSelector(where, [Target.model_validate(target) for target in targets])

    of_tags = all(key in tags and fnmatchcase(tags[key], glob) for key, glob in globs.items())
    of_targets = not targets or any(
        all(glob == "*" or (key in tags and fnmatchcase(tags[key], glob)) for key, glob in target.items())
        for target in targets
    )
    assert selector.matches_tags(tags) is (of_tags and of_targets)
    assert selector.matches(*name, tags) is (
        fnmatchcase(name[0], measurement) and fnmatchcase(name[1], field) and of_tags and of_targets
    )
    assert tags_match(globs.items(), tags) is of_tags
