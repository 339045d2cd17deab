"""What runs a model (torch, ONNX Runtime, TorchScript, OpenVINO, LiteRT), and exports to them."""
