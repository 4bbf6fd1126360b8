"""The worker fleet with flaws: a mail to poison@ ends the process that sends it, one to venom@ the
process that assembles it.
"""

import os

from actors import *  # noqa: F403 - dramatiq looks the broker up here
from actors import delivery


class Flawed(delivery.Delivery):
    """A delivery whose process dies of some mails, as it does of a bug in a library."""

    def _envelope(self, mail, held):
        if mail.to.startswith("poison@"):
            os._exit(1)
        return super()._envelope(mail, held)


import actors.send  # noqa: E402 - it reads the class when it sends

actors.send.Delivery = Flawed


import actors.assemble  # noqa: E402

assembled = actors.assemble._assembled


def flawed(payload, content, person):
    if person.to_email.startswith("venom@"):
        os._exit(1)
    return assembled(payload, content, person)


actors.assemble._assembled = flawed
