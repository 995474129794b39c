"""Where a run's intents are, and which of them had no end when it ended: the next start resolves them."""

from pathlib import Path
from typing import Final

from hft.chain.base58 import b58encode
from hft.chain.journal import FILE_NAME
from hft.chain.journal_records import JournalError, open_intents, scan
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError

FOLDER: Final = "intents"
OWN_CLUSTER: Final = "cluster-"


def folder_of(run: Run) -> Path:
    """The folder of the journal: a mode's, or one for the local cluster that lives and dies with the run."""
    mode = run.config.hft.mode
    own = mode == "paper" and not run.config.chain.rpc_urls
    return run.state_dir / FOLDER / (f"{OWN_CLUSTER}{run.run_id.hex()}" if own else mode)


def without_end(run: Run) -> tuple[str, ...]:
    """Signatures (base 58) of what was submitted and has no end yet, oldest first.

    ``HftError`` STATE_FOLDER: the journal can't be read.
    """
    file = folder_of(run) / FILE_NAME
    try:
        records = scan(file.read_bytes()).records
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise HftError(f"{file}: {error.strerror}", ExitCode.STATE_FOLDER) from error
    except JournalError as error:
        raise HftError(f"{file}: {error}", ExitCode.STATE_FOLDER) from error
    return tuple(b58encode(intent.signature) for intent in open_intents(records))


def told(signatures: tuple[str, ...]) -> str:
    """What a person hears of them, a line each; empty if there are none."""
    one = len(signatures) == 1
    which = "1 submission has" if one else f"{len(signatures)} submissions have"
    head = f"{which} no end yet; the next start resolves {'it' if one else 'them'}:"
    return "\n".join((head, *(f"  {signature}" for signature in signatures))) if signatures else ""
