"""The families of probes, one a file: each names its probes as the catalogue does."""

from __future__ import annotations

from vallum.probe.families.authentication import AUTHENTICATION
from vallum.probe.families.extraction import EXTRACTION
from vallum.probe.families.flood import FLOOD
from vallum.probe.families.injection import INJECTION
from vallum.probe.families.leakage import LEAKAGE
from vallum.probe.families.malformed import MALFORMED

FAMILIES = {
    "leakage": LEAKAGE,
    "authentication": AUTHENTICATION,
    "malformed": MALFORMED,
    "injection": INJECTION,
    "flood": FLOOD,
    "extraction": EXTRACTION,
}
