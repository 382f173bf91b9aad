"""Where any object might be, whatever it is: proposers and their fusion. Naming objects is detect's affair."""
