import torch

from dejavu.data.sample import Batch, denormalise, normalise


def test_flipping_mirrors_pixels_and_negates_the_horizontal_normal() -> None:
    normals = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).view(1, 3, 1, 2)
    batch = Batch(
        image=torch.tensor([1.0, 2.0]).expand(1, 3, 1, 2),
        label=torch.tensor([[[0, 1]]]),
        depth=torch.tensor([[[[5.0, 6.0]]]]),
        normals=normals,
    )
    flipped = batch.flip(torch.tensor([True]))
    assert flipped.image[0, 0, 0].tolist() == [2.0, 1.0]
    assert flipped.label[0, 0].tolist() == [1, 0]
    assert flipped.depth[0, 0, 0].tolist() == [6.0, 5.0]
    assert flipped.normals[0, :, 0, 1].tolist() == [-1.0, 0.0, 0.0]
    assert flipped.normals[0, :, 0, 0].tolist() == [0.0, 1.0, 0.0]
    kept = batch.flip(torch.tensor([False]))
    assert torch.equal(kept.normals, normals)
    assert torch.equal(kept.label, batch.label)


def test_normalising_is_undone_exactly() -> None:
    rgb = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    assert torch.equal(denormalise(normalise(rgb)), rgb)
