"""Dreams on the Hugging Face hub: names such as `hf://user/name`, and the transfer of files.

A dream's repository holds `dream.safetensors`, a model card and a film. `huggingface_hub` transfers files, keeps them
in its cache, and reads the environment variables that it documents (`HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` …).
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from nova_gym.errors import BadInputError

#: What the name of a dream on the hub begins with.
SCHEME = "hf://"
#: The dream's file in its repository, the model card and its film.
DREAM, CARD, FILM = "dream.safetensors", "README.md", "dream.gif"
#: Seconds after which a hub that does not answer counts as out of reach.
PATIENCE = 10


def on_hub(name: str | Path) -> bool:
    """Whether a name is that of a dream on the hub."""
    return str(name).startswith(SCHEME)


def fetch(repository: str, revision: str | None = None, token: str | None = None) -> Path:
    """The file of a dream on the hub, from the cache where the hub has none that is newer, or cannot be reached.

    Where it has to be fetched, a line on standard error says so.

    Args:
        repository: `user/name`, with `hf://` before it or without; `@` and a revision may follow.
        revision: branch, tag or commit; None for that in the name, or the main branch.
        token: of the hub; None for the one that the user is logged in with, if any.

    Raises:
        BadInputError: huggingface_hub is not installed, the name is none, or there is no such repository, revision or
            file, no right to read it, or no network, or this must not be used, and it is not in the cache.
    """
    hub = _library()
    repository, _, named = repository.removeprefix(SCHEME).partition("@")
    revision = revision or named or None
    _check_name(hub, repository)
    local, unreachable = hub.constants.HF_HUB_OFFLINE, "HF_HUB_OFFLINE forbids to fetch it"
    try:
        newest = revision
        if not local:
            url = hub.hf_hub_url(repository, DREAM, revision=revision)
            newest = hub.get_hf_file_metadata(url, token=token, timeout=PATIENCE).commit_hash
    except Exception as error:  # the hub's, or those of whichever HTTP library its client uses
        unreachable = _told(hub, error, repository, revision)
        if _answered(hub, error):
            raise BadInputError(unreachable) from error
        local, newest = True, revision
    cached = hub.try_to_load_from_cache(repository, DREAM, revision=newest)
    if not isinstance(cached, str):
        if local:
            place = hub.constants.HF_HUB_CACHE
            raise BadInputError(f"{SCHEME}{repository} is not in the cache ({place}), and {unreachable}")
        at = f" at {revision}" if revision else ""
        print(f"nova-gym: fetching {SCHEME}{repository}{at} from {hub.constants.ENDPOINT}", file=sys.stderr)
    try:  # called for what is in the cache too: it notes which commit the revision is, for when there is no network
        path = hub.hf_hub_download(repository, DREAM, revision=revision, token=token, local_files_only=local)
    except Exception as error:
        raise BadInputError(_told(hub, error, repository, revision)) from error
    return Path(path)


def make_repository(repository: str, private: bool, token: str | None) -> str:
    """Makes a repository on the hub, unless it is there.

    Args:
        repository: `user/name`, with `hf://` before it or without.
        private: whether a new repository is private; one that exists stays as it is.
        token: as in `fetch`.

    Returns:
        `user/name`.

    Raises:
        BadInputError: huggingface_hub is not installed, the name is none, or there is no right to write, or no network.
    """
    hub = _library()
    repository = repository.removeprefix(SCHEME)
    _check_name(hub, repository)
    try:
        hub.HfApi(token=token).create_repo(repository, private=private or None, exist_ok=True)
    except Exception as error:
        raise BadInputError(_told(hub, error, repository, None, "write")) from error
    return repository


def upload(repository: str, folder: Path, revision: str | None, token: str | None) -> str:
    """Puts the files of a folder into a repository on the hub, as one commit.

    Args:
        repository: `user/name`.
        folder: with the files.
        revision: branch that exists; None for the main one.
        token: as in `fetch`.

    Returns:
        The commit's address.

    Raises:
        BadInputError: there is no such branch, no right to write, or no network.
    """
    hub = _library()
    try:
        made = hub.HfApi(token=token).upload_folder(
            repo_id=repository, folder_path=folder, revision=revision, commit_message="Upload dream by nova-gym"
        )
    except Exception as error:
        raise BadInputError(_told(hub, error, repository, revision, "write")) from error
    return str(made.commit_url)


def model_card(text: str, **data: object) -> str:
    """A model card as the hub reads it: what it is told as data, as YAML, and a text in Markdown.

    Raises:
        BadInputError: huggingface_hub is not installed.
    """
    hub = _library()
    return f"---\n{hub.ModelCardData(**data).to_yaml()}\n---\n\n{text}"


def _library() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise BadInputError("the hub needs huggingface_hub: pip install 'nova-gym[hub]'") from error
    return huggingface_hub


def _check_name(hub: ModuleType, repository: str) -> None:
    try:
        hub.utils.validate_repo_id(repository)
        if repository.count("/") != 1:
            raise hub.errors.HFValidationError
    except hub.errors.HFValidationError as error:
        raise BadInputError(
            f"{repository!r} names no repository on the hub; it takes user/name of letters, digits, '-', '_', '.'"
        ) from error


def _answered(hub: ModuleType, error: Exception) -> bool:
    """Whether the hub did answer, and not just that it is in trouble: then what is in the cache does not do."""
    if isinstance(error, hub.errors.HfHubHTTPError):
        return error.response.status_code < 500
    return isinstance(error, hub.errors.HFValidationError)


def _told(hub: ModuleType, error: Exception, repository: str, revision: str | None, wanted: str = "read") -> str:
    """An error of the hub's client in one line."""
    errors, endpoint = hub.errors, hub.constants.ENDPOINT
    login = "`hf auth login`, or HF_TOKEN, says who you are"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    if isinstance(error, errors.GatedRepoError):
        return f"{repository} is gated: ask for access on {endpoint}/{repository}; {login}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository} has no revision {revision!r}"
    if isinstance(error, errors.RepositoryNotFoundError) and wanted == "read":
        return f"{endpoint} has no repository {repository} that you may read; {login}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{repository} holds no dream: it has no file {DREAM}"
    if status in (401, 403) or isinstance(error, errors.RepositoryNotFoundError):
        return f"{endpoint} gives no right to {wanted} {repository}; {login}"
    if status is not None:
        return f"{endpoint} answers {status}: {error.server_message or _first_line(error)}"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids to use the network"
    return f"{endpoint} cannot be reached: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
