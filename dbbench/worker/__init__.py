"""The child process that runs operations. It may run in other virtual environments, which have few packages."""
