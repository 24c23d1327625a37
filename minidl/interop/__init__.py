"""The way in and out: PyTorch weights, ONNX models, arrays by DLPack, scripts that need NumPy alone."""
