"""The plain way with PyMuPDF alone: every image and drawing cluster is a figure, its caption the nearest text block below."""

from pathlib import Path

from benchmarks.generated.scoring import FoundCall, FoundFigure

_SMALLEST_PT = 30.0


def read(path: Path) -> list[FoundFigure]:
    """Figures of a document."""
    import pymupdf

    found: list[FoundFigure] = []
    with pymupdf.open(path) as document:
        for page in document:
            boxes = [pymupdf.Rect(image["bbox"]) for image in page.get_image_info()]
            drawings = page.get_drawings()
            boxes += [box for box in page.cluster_drawings(drawings=drawings) if not any(box in image for image in boxes)]
            blocks = [block for block in page.get_text("blocks") if block[6] == 0]
            for box in boxes:
                if min(box.width, box.height) < _SMALLEST_PT:
                    continue
                below = [block for block in blocks if block[1] >= box.y1 - 4 and block[2] > box.x0 and block[0] < box.x1]
                caption = " ".join(min(below, key=lambda block: block[1])[4].split()) if below else ""
                calls = tuple(
                    FoundCall(" ".join(line.split()), _nearest(drawings, block))
                    for block in blocks
                    if box.contains(pymupdf.Point((block[0] + block[2]) / 2, (block[1] + block[3]) / 2))
                    for line in block[4].splitlines()
                )
                found.append(FoundFigure(int(page.number), (box.x0, box.y0, box.x1, box.y1), caption, caption, calls))
    return found


def _nearest(drawings: list, block: tuple) -> tuple[float, float, float, float] | None:  # type: ignore[type-arg]
    """Box of the drawing nearest to words."""
    x, y = (block[0] + block[2]) / 2, (block[1] + block[3]) / 2
    boxes = [drawing["rect"] for drawing in drawings]
    if not boxes:
        return None
    box = min(boxes, key=lambda rect: max(rect.x0 - x, x - rect.x1, 0) + max(rect.y0 - y, y - rect.y1, 0))
    return (box.x0, box.y0, box.x1, box.y1)
