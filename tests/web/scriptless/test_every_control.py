"""Every button and every form of every page works without script: found by walking, pressed, held to its effect."""

import pytest

from tests.web.scriptless.effects import EFFECTS
from tests.web.scriptless.entry import EVERY_PAGE
from tests.web.scriptless.stage import Marked, furnish, marks, open_stage
from tests.web.scriptless.walk import HOLDER, STRANGER, Walk

# The walk is part of the first test.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def told(instance_template, tmp_path_factory):
    with open_stage(instance_template, tmp_path_factory.mktemp("stage") / "instance") as house:
        house.app.jinja_env.loader = Marked(house.app.jinja_env.loader)
        walk = Walk(house, EFFECTS)
        walk.begin()  # some words are there only while nothing else is
        furnish(house)
        yield walk.go()


@pytest.mark.parametrize("control", EFFECTS)
def test_a_button_does_what_it_is_for(told, control):
    page, _, button = control.partition(": ")
    found = [name for name in told.pressed if name == control or (page == EVERY_PAGE and name.endswith(": " + button))]
    assert found, "is on no page: its entry is out of date"
    assert {name: told.pressed[name] for name in found if told.pressed[name]} == {}


def test_every_button_has_an_effect_it_is_held_to(told):
    assert {name: wrong for name, wrong in told.pressed.items() if wrong} == {}


def test_every_page_has_its_choices_and_the_way_out(told):
    missing = {f"{page}{control.removeprefix(EVERY_PAGE)}" for page in told.pages for control in EFFECTS
               if control.startswith(EVERY_PAGE)} - set(told.pressed)  # fmt: skip
    assert {name for name in missing if not name.endswith("sign_out")} == set()
    assert {name for name in missing if not name.startswith((STRANGER, f"{HOLDER}nowhere"))} == set()


def test_every_page_is_whole_and_leans_on_no_script(told):
    assert "\n".join(told.wrong) == ""


def test_no_control_of_any_template_was_missed(told, request):
    assert sorted(marks(request.config.rootpath / "templates") - told.marks) == []
