"""Cities where accounts live, shop and travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """A city: position in degrees, currency, price of one euro in it, share of homes, IP block."""

    name: str
    country: str
    lat: float
    lon: float
    currency: str
    per_euro: float
    homes: int
    ip_block: int


PLACES: Final = (
    Place("Vienna", "AT", 48.2082, 16.3738, "EUR", 1.0, 20, 77),
    Place("Graz", "AT", 47.0707, 15.4395, "EUR", 1.0, 7, 77),
    Place("Berlin", "DE", 52.5200, 13.4050, "EUR", 1.0, 18, 79),
    Place("Munich", "DE", 48.1351, 11.5820, "EUR", 1.0, 10, 79),
    Place("Hamburg", "DE", 53.5511, 9.9937, "EUR", 1.0, 8, 79),
    Place("Amsterdam", "NL", 52.3676, 4.9041, "EUR", 1.0, 8, 81),
    Place("Paris", "FR", 48.8566, 2.3522, "EUR", 1.0, 14, 82),
    Place("Lyon", "FR", 45.7640, 4.8357, "EUR", 1.0, 5, 82),
    Place("Milan", "IT", 45.4642, 9.1900, "EUR", 1.0, 9, 83),
    Place("Rome", "IT", 41.9028, 12.4964, "EUR", 1.0, 6, 83),
    Place("Madrid", "ES", 40.4168, -3.7038, "EUR", 1.0, 9, 84),
    Place("Lisbon", "PT", 38.7223, -9.1393, "EUR", 1.0, 4, 85),
    Place("Dublin", "IE", 53.3498, -6.2603, "EUR", 1.0, 3, 86),
    Place("Helsinki", "FI", 60.1699, 24.9384, "EUR", 1.0, 3, 87),
    Place("London", "GB", 51.5074, -0.1278, "GBP", 0.85, 6, 88),
    Place("Warsaw", "PL", 52.2297, 21.0122, "PLN", 4.30, 5, 89),
    Place("Prague", "CZ", 50.0755, 14.4378, "CZK", 25.0, 4, 90),
    Place("Stockholm", "SE", 59.3293, 18.0686, "SEK", 11.3, 3, 91),
    Place("Zurich", "CH", 47.3769, 8.5417, "CHF", 0.95, 3, 92),
    Place("New York", "US", 40.7128, -74.0060, "USD", 1.10, 1, 96),
    Place("Tokyo", "JP", 35.6762, 139.6503, "JPY", 163.0, 1, 126),
    Place("Istanbul", "TR", 41.0082, 28.9784, "TRY", 38.0, 1, 95),
    Place("Lagos", "NG", 6.5244, 3.3792, "NGN", 1650.0, 0, 105),
    Place("Tunis", "TN", 36.8065, 10.1815, "TND", 3.35, 0, 102),
)
