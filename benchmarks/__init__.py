"""Speed and memory, each figure beside something measured in the same run: `nova-gym bench`."""
