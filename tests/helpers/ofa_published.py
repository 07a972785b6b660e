"""What the published once-for-all checkpoints hold, for tests without the files."""

from __future__ import annotations

from modnas.spaces.mobilenetv3 import MobileNetV3
from modnas.spaces.mobilenetv3.network import divisible


def published_names(space: MobileNetV3 | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `ofa_mbv3_d234_e346_k357_w1.2`, as the package ofa makes them; of another size,
    where a space of it is given."""
    skeleton = (space or MobileNetV3()).skeleton
    stem, first, mixed, features = skeleton.stem, skeleton.first, skeleton.mixed, skeleton.features
    shapes: dict[str, tuple[int, ...]] = {"first_conv.conv.weight": (stem, skeleton.image_channels, 3, 3)}

    def norm(prefix: str, channels: int) -> None:
        shapes.update(
            {f"{prefix}.{p}": (channels,) for p in ("weight", "bias", "running_mean", "running_var")}
        )
        shapes[f"{prefix}.num_batches_tracked"] = ()

    norm("first_conv.bn", stem)
    shapes["blocks.0.mobile_inverted_conv.depth_conv.conv.weight"] = (stem, 1, 3, 3)
    norm("blocks.0.mobile_inverted_conv.depth_conv.bn", stem)
    shapes["blocks.0.mobile_inverted_conv.point_linear.conv.weight"] = (first, stem, 1, 1)
    norm("blocks.0.mobile_inverted_conv.point_linear.bn", first)
    number, inputs = 0, first
    for stage in skeleton.stages:
        for _ in range(4):
            number += 1
            block, middle = f"blocks.{number}.mobile_inverted_conv", 6 * inputs
            shapes[f"{block}.inverted_bottleneck.conv.conv.weight"] = (middle, inputs, 1, 1)
            norm(f"{block}.inverted_bottleneck.bn.bn", middle)
            shapes[f"{block}.depth_conv.conv.conv.weight"] = (middle, 1, 7, 7)
            shapes[f"{block}.depth_conv.conv.7to5_matrix"] = (25, 25)
            shapes[f"{block}.depth_conv.conv.5to3_matrix"] = (9, 9)
            norm(f"{block}.depth_conv.bn.bn", middle)
            if stage.squeeze_excite:
                squeezed = divisible(middle // 4)
                shapes[f"{block}.depth_conv.se.fc.reduce.weight"] = (squeezed, middle, 1, 1)
                shapes[f"{block}.depth_conv.se.fc.reduce.bias"] = (squeezed,)
                shapes[f"{block}.depth_conv.se.fc.expand.weight"] = (middle, squeezed, 1, 1)
                shapes[f"{block}.depth_conv.se.fc.expand.bias"] = (middle,)
            shapes[f"{block}.point_linear.conv.conv.weight"] = (stage.outputs, middle, 1, 1)
            norm(f"{block}.point_linear.bn.bn", stage.outputs)
            inputs = stage.outputs
    shapes["final_expand_layer.conv.weight"] = (mixed, inputs, 1, 1)
    norm("final_expand_layer.bn", mixed)
    shapes["feature_mix_layer.conv.weight"] = (features, mixed, 1, 1)
    shapes["classifier.linear.weight"] = (skeleton.classes, features)
    shapes["classifier.linear.bias"] = (skeleton.classes,)
    return shapes
