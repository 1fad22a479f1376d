"""The sweep: from a config file to the best setting of an unlearning objective."""
