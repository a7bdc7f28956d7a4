"""Ways of carrying messages. The folders are strangers to one another; base.py is all that they share."""
