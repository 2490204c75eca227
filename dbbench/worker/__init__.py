"""The child process that runs operations. It lives in foreign environments, with few packages."""
