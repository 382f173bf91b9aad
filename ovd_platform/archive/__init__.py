"""The verified archive of a scene: codec policy, writing, verification, and deletion of originals after it."""
