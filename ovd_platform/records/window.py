"""Half-open pixel rectangle of a scene. Belongs here: integer pixel arithmetic only; ground coordinates are geometry's."""

from dataclasses import dataclass

from ovd_platform.errors import InputError


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels ``col_px <= x < col_px + width_px`` and ``row_px <= y < row_px + height_px``.

    Pixel coordinates: (0, 0) is the outer corner of the top-left pixel, x to the right, y down. The origin may be negative
    and the end may lie outside of a scene; a reader pads what does not exist and marks it invalid.
    """

    col_px: int
    row_px: int
    width_px: int
    height_px: int

    def __post_init__(self) -> None:
        if self.width_px <= 0 or self.height_px <= 0:
            raise InputError(
                f"Cannot make a window of {self.width_px} x {self.height_px} px: expected positive sizes. Clip before making it."
            )

    @property
    def right_px(self) -> int:
        """First column behind the window."""
        return self.col_px + self.width_px

    @property
    def bottom_px(self) -> int:
        """First row below the window."""
        return self.row_px + self.height_px

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in pixels of the scene."""
        return (self.col_px, self.row_px, self.right_px, self.bottom_px)

    def grown(self, margin_px: int) -> "Window":
        """The window with ``margin_px`` more on each side (not clipped)."""
        return Window(
            self.col_px - margin_px, self.row_px - margin_px, self.width_px + 2 * margin_px, self.height_px + 2 * margin_px
        )

    def clipped(self, width_px: int, height_px: int) -> "Window":
        """The part inside a scene of the given size.

        Raises:
            InputError: If nothing is left.
        """
        left, top = max(0, self.col_px), max(0, self.row_px)
        right, bottom = min(width_px, self.right_px), min(height_px, self.bottom_px)
        return Window(left, top, right - left, bottom - top)

    def contains(self, x_px: float, y_px: float) -> bool:
        """Whether a point lies in the half-open rectangle."""
        return self.col_px <= x_px < self.right_px and self.row_px <= y_px < self.bottom_px
