"""What each stage does to a workspace: read its inputs from the stores, call the library, write the result, name its version.

Belongs here: the order of calls and the names of artifacts, once, for the command and for the asset graph alike. Does not
belong here: computing (the stage packages) and scheduling (Dagster).
"""
