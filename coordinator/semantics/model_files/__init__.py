"""Models from files: TensorFlow Lite and Keras, read without either."""
