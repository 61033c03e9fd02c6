import pytest

from rbr_app.local.catalogue import NEEDS, elsewhere, wanted


def test_a_service_brings_along_what_it_needs_in_the_order_of_starting() -> None:
    assert wanted(["web", "worker"], {}) == ["postgres", "broker", "worker", "web"]
    assert wanted([], {}) == []


def test_a_service_needs_only_earlier_ones() -> None:
    names = list(NEEDS)
    assert all(names.index(n) < names.index(name) for name in NEEDS for n in NEEDS[name])


@pytest.mark.parametrize(
    ("environ", "here"),
    [
        ({"DATABASE_URL": "postgresql://x"}, ["broker", "worker", "model_worker"]),
        ({"RBR_BROKER_URL": "redis://x"}, ["postgres", "worker", "model_worker"]),
        ({"RBR_WORKERS": "elsewhere"}, ["postgres", "broker"]),
        ({"DATABASE_URL": "", "RBR_BROKER_URL": ""}, [n for n in NEEDS if n != "web"]),
    ],
)
def test_what_the_environment_places_elsewhere_is_not_run_here(
    environ: dict[str, str], here: list[str]
) -> None:
    assert wanted(["postgres", "broker", "worker", "model_worker"], environ) == here
    assert not set(elsewhere(environ)) & set(here)


def test_an_unknown_service_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such service: mail"):
        wanted(["mail", "web"], {})
