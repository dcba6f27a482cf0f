"""Who may see what on the embedded hub, and the words it refuses with."""

from __future__ import annotations

from reconciler.demo.hub_messages import Answer, Request, error_answer, redirect_answer
from reconciler.demo.hub_repositories import Repositories, Repository, StoredCommit, StoredFile


class Denied(Exception):
    """The request is not to be met; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def find_repository(
    repositories: Repositories, request: Request, name: str, *, for_content: bool
) -> Repository:
    """Give the repository if the request's token may see it; `for_content` asks for its files too.

    Raises `Denied`, with a redirect where the repository has another name now.
    """
    token = request.token
    if token is not None and not repositories.knows_token(token):
        raise Denied(error_answer(401, "Invalid credentials in Authorization header"))
    new_name = repositories.new_name(name)
    if new_name is not None:
        raise Denied(redirect_answer(307, request.target.replace(name, new_name, 1)))
    repository = repositories.find(name)
    if repository is None or (repository.private and token not in repository.readers):
        # Whoever shows no token is told the same of a missing and of a private repository.
        status = 401 if token is None else 404
        raise Denied(error_answer(status, "Repository not found", code="RepoNotFound"))
    if repository.disabled:
        raise Denied(error_answer(403, "Access to this resource is disabled."))
    if for_content and repository.gated and token not in repository.readers:
        raise Denied(
            error_answer(
                401 if token is None else 403,
                f"Access to model {name} is restricted: its terms must be accepted first.",
                code="GatedRepo",
            )
        )
    return repository


def find_commit(repository: Repository, revision: str) -> StoredCommit:
    """Give the commit that `revision` names; raises `Denied`."""
    commit = repository.find_commit(revision)
    if commit is None:
        message = f"Invalid rev id: {revision}"
        raise Denied(error_answer(404, message, code="RevisionNotFound"))
    return commit


def find_file(commit: StoredCommit, path: str) -> StoredFile:
    """Give the file at `path`; raises `Denied`."""
    file = commit.files.get(path)
    if file is None:
        raise Denied(entry_missing(commit, path))
    return file


def entry_missing(commit: StoredCommit, path: str) -> Answer:
    """Give the answer that a commit has nothing at `path`."""
    return error_answer(
        404,
        f"{path} does not exist in this revision",
        code="EntryNotFound",
        headers={"X-Repo-Commit": commit.id},
    )
