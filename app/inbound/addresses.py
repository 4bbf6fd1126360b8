"""The addresses the inbound server takes mail for: coded ones, and the one of feedback loops."""

from dataclasses import dataclass

from app.feedback.messages import Arrival
from app.mail.verp import CodedDomain


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Coded addresses whose MAC holds; `complaints` is registered with feedback loops, or empty."""

    coded: CodedDomain
    complaints: str = ""

    def is_ours(self, address: str) -> bool:
        """Tell whether an address is one of this server's hosts, whatever stands before the @."""
        return self.coded.is_ours(address) or self._is_of_complaints(address)

    def takes(self, address: str) -> bool:
        """Tell whether mail to an address is taken."""
        return self._is_of_complaints(address) or self.coded.read(address) is not None

    def arrival(self, address: str, return_path: str, raw: bytes) -> Arrival:
        """Return a mail as it arrives at an address that is taken."""
        coded = self.coded.read(address)
        return Arrival(recipient=address, return_path=return_path, raw=raw, coded=coded)

    def _is_of_complaints(self, address: str) -> bool:
        return bool(self.complaints) and address.lower() == self.complaints.lower()
