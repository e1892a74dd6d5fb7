"""Measuring on an Android phone by LiteRT's benchmark_model, through adb."""
