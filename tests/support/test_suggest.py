"""What an unknown name is answered with."""

from patchlib.support.suggest import unknown_name


def test_the_nearest_names_come_first_and_case_does_not_matter() -> None:
    message = unknown_name("encoder", "siglp2", ["VGG16", "SigLIP", "SigLIP2"])
    assert message == "unknown encoder 'siglp2'; did you mean SigLIP2 or SigLIP?"


def test_nothing_near_and_nothing_known() -> None:
    assert unknown_name("profile", "zzzz", ["builtin"]) == "unknown profile 'zzzz'; known: builtin"
    assert unknown_name("profile", "a", []) == "unknown profile 'a'; known: none"
