"""Read a traced graph: layers, feature maps, logits, guided ReLUs."""
