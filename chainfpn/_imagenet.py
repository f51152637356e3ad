"""Statistics of ImageNet, per channel, for pixels in 0..1: what every torchvision trunk was trained with."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
