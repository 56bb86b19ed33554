import pytest

from niwaki.data.inside import lies_inside


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("a.png", True),
        ("kitchen/a.png", True),
        ("kitchen\\a.png", True),
        ("./a.png", True),
        ("..a/b..png", True),
        ("12:30.png", True),
        ("", False),
        ("/a.png", False),
        ("../a.png", False),
        ("kitchen/../../a.png", False),
        ("\\a.png", False),
        ("..\\a.png", False),
        ("kitchen/..\\..\\a.png", False),
        ("C:a.png", False),
        ("C:/a.png", False),
        ("C:\\a.png", False),
        ("\\\\host\\share\\a.png", False),
        ("//host/share/a.png", False),
        ("\\\\?\\C:\\a.png", False),
    ],
)
def test_a_name_that_leaves_its_folder_on_any_system_is_refused(name: str, inside: bool) -> None:
    assert lies_inside(name) is inside
