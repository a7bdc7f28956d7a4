"""The command tree of `fourways`: one file a subcommand."""
