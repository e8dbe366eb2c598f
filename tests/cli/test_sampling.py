"""How options for choosing tokens become arguments of transformers' generate."""

import pytest

from cli.sampling import Sampling


@pytest.mark.parametrize("do_sample", [None, True])
def test_temperature_0_takes_the_likeliest_token_whatever_else_is_said(do_sample: bool | None) -> None:
    sampling = Sampling(max_new_tokens=5, temperature=0.0, do_sample=do_sample)

    assert sampling.arguments() == {"do_sample": False, "max_new_tokens": 5}


def test_a_temperature_or_top_p_means_sampling_unless_it_is_refused() -> None:
    assert Sampling(5, temperature=0.7).arguments()["do_sample"] is True
    assert Sampling(5, top_p=0.9).arguments()["do_sample"] is True
    assert Sampling(5, do_sample=False, top_p=0.9).arguments()["do_sample"] is False


def test_what_is_not_said_is_left_to_the_model() -> None:
    assert Sampling(5).arguments() == {"max_new_tokens": 5}
