"""What a model needs and gives on a microcontroller, by TensorFlow Lite Micro itself."""
