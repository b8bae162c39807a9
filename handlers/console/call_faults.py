"""What may be wrong with a call or a command, for the catalogue: sentences of the services and of providers."""

from __future__ import annotations

from handlers.console.words import fault
from handlers.telephony.control import CommandFailed
from server.domain.permission import Actor

# Instead of the key of the settings that is missing, which only an administrator can write.
CANNOT_CALL = fault("calls cannot be made from here yet: ask your administrator")
CANNOT_CONTROL = fault("calls cannot be controlled from here yet: ask your administrator")

FAULTS = (
    # click to dial (server/services/dialling.py, handlers/telephony/commands.py)
    fault("not a phone number (write it as +{n} 20 7946 0123)"),
    fault("you have no extension: an administrator enters it on your page under Administration"),
    fault("this customer is blocked: take the block away first"),
    fault("no telephony here can make calls: the administrator configures one that can"),
    fault("this call source cannot make calls, or not now"),
    fault("this is being done: wait for the answer"),
    fault("must be a date such as {n}-01-31"),
    # commands
    fault("the call is over"),
    fault("the call has ended"),
    fault("that cannot be done with this call now"),
    fault("only the agent on the call or a supervisor can do that"),
    fault("must be an extension, a number or a SIP address"),
    fault("is required: an extension, a number or a SIP address"),
    # what every telephony may answer
    fault("there is no call"),
    fault("there is no call to act on"),
    fault("the telephony cannot be reached"),
    fault("the telephone system cannot be reached"),
    fault("the telephone system is not connected"),
    fault("the telephone system gave no answer"),
    fault("the telephone system has too much to do"),
    fault("the telephony did not say which call it made"),
    fault("the PBX is not connected"),
    fault("the PBX does not answer"),
    fault("the PBX cannot do that: use the phone"),
    fault("the server is stopping"),
    fault("this could not be done: it is our fault"),
    fault("you have no phone: set your extension"),
    fault("you have no phone that the PBX could ring: enter your extension"),
    fault("your phone is not in this call"),
    fault("the call is not on your phone any more"),
    fault("the call is over, or no agent's phone is connected"),
    fault("the phone is not registered"),
    fault("the phone is busy"),
    fault("the phone was not picked up"),
    fault("the phone cannot be reached"),
    fault("the call was rejected"),
    fault("there is no such number"),
    fault("all lines are busy"),
)


def told_to(actor: Actor, failed: CommandFailed, instead: str) -> str:
    """Why it failed; ``instead`` of a fault of the settings for who cannot change them."""
    said = str(failed)
    return said if "[call_sources." not in said or actor.role == "administrator" else instead
