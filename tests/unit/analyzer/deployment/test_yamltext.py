"""What is spelled with comments reads as what it was without."""

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.deployment.yamltext import Noted, dumps, plain

KEYS = st.text(min_size=1, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
NOTED = st.builds(Noted, SCALARS, st.text("ab \n#:", max_size=40))
VALUES = st.recursive(
    SCALARS | NOTED,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.builds(Noted, st.lists(inner, max_size=2), st.text("ab ", max_size=9))
    ),
    max_leaves=12,
)


@settings(max_examples=40)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), st.text("ab #\n", max_size=30))
def test_comments_change_nothing(document: dict[str, object], heading: str) -> None:
    assert yaml.safe_load(dumps(document, heading)) == plain(document)


def test_a_comment_stands_above_what_it_is_about() -> None:
    text = dumps({"a": [Noted({"b": Noted("1", "of b"), "c": []}, "of the item")]}, "of all")
    assert text == "# of all\na:\n  # of the item\n    # of b\n  - b: '1'\n    c: []\n"
