"""One gate check of one direction, with its words."""

from msgspec import Struct

from engine.gates.bits import Verdict


class Gate(Struct, frozen=True):
    """One condition: `words` say what was measured, `threshold` what is wanted, both with units."""

    name: str
    value: str
    threshold: str
    verdict: Verdict
    words: str

    @property
    def sentence(self) -> str:
        """Join what was measured and what is wanted."""
        return f"{self.words} (wanted: {self.threshold})"
