import torch

from calibration.copies import Copies


def test_copies_come_apart_as_they_were_stacked() -> None:
    stacked = torch.arange(12.0).reshape(6, 2)
    copies = Copies.of(stacked, 2)
    assert torch.equal(copies.stacked, stacked)
    assert copies.disturbed is not None
    assert torch.equal(copies.disturbed, stacked[3:])
    assert Copies.of(stacked, 1).disturbed is None


def test_joining_keeps_parts_in_order_in_both_copies() -> None:
    first, last = Copies.of(torch.tensor([1.0, 2.0, 10.0, 20.0]), 2), Copies.of(torch.tensor([3.0, 30.0]), 2)
    joined = first.joined(last)
    assert joined.clean.tolist() == [1, 2, 3]
    assert joined.disturbed is not None
    assert joined.disturbed.tolist() == [10, 20, 30]
    assert first.mapped(lambda x: 2 * x).stacked.tolist() == [2, 4, 20, 40]
    assert Copies(first.clean, None).joined(Copies(last.clean, None)).disturbed is None
