"""What a command does once its options are known: one module, or one folder, for each."""
