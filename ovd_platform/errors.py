"""The exception tree of the platform.

Belongs here: every exception class that crosses a module border. Does not belong here: handling of errors.

A message reads "Cannot *do what* *to which thing*: expected *this*, got *that*. *What to do next.*"
"""


class OvdError(Exception):
    """Root of the tree; catch it only at the outermost border (the CLI, a scene's run)."""


class InputError(OvdError):
    """The call is wrong: fix the arguments or the configuration."""


class UnknownNameError(InputError):
    """Something was asked for by a name nothing has: a scene, a hit, an upload."""


class ShapeError(InputError):
    """Array arguments disagree about their axes."""


class VersionMismatchError(InputError):
    """Vectors or artifacts of two different model versions were about to be compared."""


class ResourceError(OvdError):
    """Memory, disk, time or a service ran out: retry, or give it more."""


class DataError(OvdError):
    """A file is wrong: broken, unsupported, or not what it claims to be."""


class UnreadableRasterError(DataError):
    """A raster cannot be opened or decoded."""


class NotARasterError(UnreadableRasterError):
    """A file is of no raster format the platform opens: text, vectors, an unknown container."""


class DamagedRasterError(UnreadableRasterError):
    """A raster is cut off or broken: its header or some of its pixels cannot be decoded."""


class HostileRasterError(UnreadableRasterError):
    """Reading a raster crashed, hung or wanted more memory than it may have; the guarded worker was stopped."""


class UnreachableRasterError(UnreadableRasterError, ResourceError):
    """A server or object store does not hand out a raster: network, address, permission; it is tried again."""


class UnreadableDocumentError(DataError):
    """A document cannot be opened or parsed."""


class BitDepthError(DataError):
    """Pixel values exceed the bit depth the scene declares."""


class LeakageError(DataError):
    """Training and test data share ground, a scene, or an acquisition."""


class VerificationError(DataError):
    """What was written does not decode to what it should; nothing has been deleted."""


class StaleError(OvdError):
    """An artifact is missing or was made from older inputs: materialize it again."""
