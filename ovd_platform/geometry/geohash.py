"""Geohash of a point (Niemeyer, 2008). Belongs here: text keys of places; geometry of areas is `footprint`."""

from ovd_platform.errors import InputError

_ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"


def encode(lon: float, lat: float, precision: int = 9) -> str:
    """Geohash of a point.

    Args:
        lon: Longitude in degrees; wrapped into [-180, 180).
        lat: Latitude in degrees, [-90, 90].
        precision: Number of characters; 9 is about 5 m.

    Returns:
        Lower-case base-32 text of the given length.

    Raises:
        InputError: If the latitude is outside of the globe or not a number.
    """
    if not -90.0 <= lat <= 90.0 or lon != lon:
        raise InputError(f"Cannot encode lon {lon}, lat {lat}: expected lat in [-90, 90]. Check the axis order (lon, lat).")
    lon = (lon + 180.0) % 360.0 - 180.0
    bounds = {True: [-180.0, 180.0], False: [-90.0, 90.0]}
    text, bits, is_lon = "", 0, True
    for index in range(precision * 5):
        low, high = bounds[is_lon]
        middle = (low + high) / 2
        above = (lon if is_lon else lat) >= middle
        bounds[is_lon] = [middle, high] if above else [low, middle]
        bits = (bits << 1) | int(above)
        is_lon = not is_lon
        if index % 5 == 4:
            text += _ALPHABET[bits]
            bits = 0
    return text
