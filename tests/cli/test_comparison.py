"""What differs between two models, as rows."""

from zoo.cli.comparison import ABSENT, cost_difference, count_rows, setting_rows
from zoo.models.anatomy import empty_model
from zoo.models.create import model_config
from zoo.training.shipped import load_run


def test_settings() -> None:
    one, other = model_config("gpt2"), model_config("gpt2", positions="rotary", num_kv_heads=4)
    rows = {key: (left, right) for key, left, right in setting_rows(one, other)}
    assert rows["num_kv_heads"] == ("null", "4")
    assert rows["positions.kind"] == ("learned", "rotary")
    assert rows["positions.theta"] == (ABSENT, "10000.0")
    assert "dim" not in rows
    assert list(setting_rows(one, one)) == []


def test_settings_of_runs() -> None:
    one, other = (load_run("gpt-nano", [f"trainer.max_steps={steps}"]).config for steps in (100, 200))
    assert list(setting_rows(one, other)) == [("trainer.max_steps", "100", "200")]


def test_counts() -> None:
    one, other = empty_model(model_config("gpt2")), empty_model(model_config("gpt2", positions="none"))
    rows = {part: values for part, *values in count_rows(one, other)}
    assert rows["stack / schemes"] == [1024 * 768, None, "-100.0 %"]
    assert rows["total"][:2] == [one.num_parameters, other.num_parameters]
    assert "stack / blocks" not in rows
    assert list(count_rows(one, one)) == [("total", one.num_parameters, one.num_parameters, "+0.0 %")]


def test_costs() -> None:
    one, other = empty_model(model_config("gpt2")), empty_model(model_config("gpt2", feed_forward="mixture"))
    rows = {cost: values for cost, *values in cost_difference(one, other)}
    assert rows["parameters active for a token"][0] == ABSENT
    assert rows["more for each scored token"][0] == rows["more for each scored token"][1]
