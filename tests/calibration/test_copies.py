import torch

from calibration.copies import Copies


def test_copies_come_apart_as_they_were_stacked() -> None:
    stacked = torch.arange(12.0).reshape(6, 2)
    copies = Copies.of(stacked, 2)
    assert torch.equal(copies.stacked, stacked)
    assert copies.disturbed is not None
    assert torch.equal(copies.disturbed, stacked[3:])
    assert Copies.of(stacked, 1).disturbed is None


def test_each_copy_goes_through_a_function() -> None:
    copies = Copies.of(torch.tensor([1.0, 2.0, 10.0, 20.0]), 2)
    assert copies.mapped(lambda x: 2 * x).stacked.tolist() == [2, 4, 20, 40]
    assert Copies(copies.clean, None).mapped(lambda x: 2 * x).disturbed is None
