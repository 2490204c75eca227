"""The work of the commands, once their options are known: a module or folder for each."""
