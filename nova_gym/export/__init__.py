"""Dreams for others: as ONNX graphs, which run without Python or PyTorch."""

from nova_gym.export.to_onnx import export_onnx, left_out

__all__ = ["export_onnx", "left_out"]
