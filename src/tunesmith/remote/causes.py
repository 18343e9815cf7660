"""What an error of a storage means: whether it passes, and what its user can do."""

from __future__ import annotations

from math import inf
from typing import Final

from tunesmith.errors import ArgumentError, MissingPackageError, StorageError, TunesmithError
from tunesmith.remote.storage import RemoteStorage

# Errors that stay, by the names of their classes: those of packages that need not be installed.
_REFUSED: Final = frozenset({
    "PermissionError", "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
    "TokenRetrievalError", "UnauthorizedSSOTokenError", "ProfileNotFound", "AuthenticationException",
    "BadAuthenticationType",
    "PasswordRequiredException", "BadHostKeyException", "DefaultCredentialsError", "RefreshError",
})  # fmt: skip
_WRONG: Final = frozenset({
    "TypeError", "ValueError", "AttributeError", "NotImplementedError", "ImportError", "ModuleNotFoundError",
    "ParamValidationError", "UnknownServiceError", "InvalidEndpointURLError", "IsADirectoryError", "NotADirectoryError",
})  # fmt: skip
_GONE_S: Final = 30.0  # what is missing where it was before: a part that was sent, or all, while a server starts
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "sftp": "sftp", "ssh": "sftp"}
_WHERE: Final = {
    "s3": "storage_options={'key': ..., 'secret': ...}, the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or ~/.aws/credentials",
    "gs": "storage_options={'token': ...}, or the variable GOOGLE_APPLICATION_CREDENTIALS",
    "sftp": "storage_options={'username': ..., 'password': ...} or {'key_filename': ...}, or an SSH agent",
}


def patience_s(error: BaseException) -> float:
    """Return for how many seconds the same call is worth another try: for ever where the server was away, or busy."""
    if isinstance(error, FileNotFoundError):
        return _GONE_S
    names = {cls.__name__ for cls in type(error).__mro__}
    return -inf if isinstance(error, TunesmithError) or names & (_REFUSED | _WRONG) else inf


def missing(storage: RemoteStorage, error: ImportError) -> MissingPackageError:
    """Return the error for a package that has to be installed."""
    extra = _EXTRAS.get(storage.protocol, "remote")
    hint = "" if extra != "remote" or "fsspec" in str(error) else f" ({error})"
    return MissingPackageError(
        f"Storage at {storage.protocol}:// needs a package that is not installed{hint}: "
        f'pip install "tunesmith[{extra}]"'
    )


def told(storage: RemoteStorage, what: str, error: Exception, tried_s: float = 0.0) -> TunesmithError:
    """Return the error that says why `what` could not be done, without secrets; its cause may have some."""
    if isinstance(error, TunesmithError):
        return error
    if isinstance(error, ImportError):
        return missing(storage, error)
    kind = _EXTRAS.get(storage.protocol, "")
    names = {cls.__name__ for cls in type(error).__mro__}
    text = storage.clean(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    place = storage.shown
    if names & _REFUSED:
        where = _WHERE.get(kind, "storage_options=")
        return StorageError(f"{what}: {place} refuses these credentials ({text}). They come from {where}.")
    if isinstance(error, FileNotFoundError):
        return StorageError(
            f"{what}: {place} is not there ({text}). Is the name right? The bucket, or the server's folder, must exist."
        )
    if "Protocol not known" in str(error):
        return ArgumentError(f"storage_path: fsspec knows no protocol {storage.protocol!r}, as in {place}.")
    if names & _WRONG:
        return StorageError(f"{what}: {place} can't be used so ({text}). Check the URL and storage_options=.")
    spent = f", and was tried for {tried_s:.0f} s" if tried_s else ""
    return StorageError(f"{what}: {place} can't be reached, or failed{spent} ({text}).")


def chained(storage: RemoteStorage, error: Exception) -> Exception | None:
    """Return what may be told as the cause of an error: not what has a secret in it."""
    seen: BaseException | None = error
    while seen is not None:
        if storage.clean(str(seen)) != str(seen):
            return None
        seen = seen.__cause__ or seen.__context__
    return error
