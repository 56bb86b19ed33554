import niwaki.errors
from niwaki.errors import MissingExtraError, NiwakiError, Problem, SettingError, did_you_mean


def test_one_tree() -> None:
    classes = [getattr(niwaki.errors, name) for name in niwaki.errors.__all__ if name.endswith("Error")]
    assert len(classes) > 10
    assert all(issubclass(each, NiwakiError) for each in classes)


def test_a_problem_names_its_place() -> None:
    assert str(Problem(("training", "lr"), "must be positive", -1)) == "training.lr: must be positive"
    assert str(Problem((), "must be positive")) == "must be positive"


def test_a_setting_error_is_a_value_error_with_at_least_one_problem() -> None:
    error = SettingError("wrong")
    assert isinstance(error, ValueError)
    assert error.problems == (Problem((), "wrong"),)


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("balance", "PCGrad")
    assert "pip install 'niwaki[balance]'" in str(error)
    assert str(error).startswith("PCGrad needs")


def test_the_closest_name_is_offered_and_only_a_close_one() -> None:
    assert did_you_mean("decodr.1", ["encoder.2", "decoder.1", "x"]) == "; did you mean 'decoder.1'?"
    assert did_you_mean("decoder", ["x", "y"]) == did_you_mean("decoder", []) == ""
