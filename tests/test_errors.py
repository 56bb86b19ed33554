import niwaki.errors
from niwaki.errors import MissingExtraError, NiwakiError, Problem, SettingError


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
