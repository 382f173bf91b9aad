"""The `ovd` command. Belongs here: arguments, printing, exit codes. Everything that computes is called."""
