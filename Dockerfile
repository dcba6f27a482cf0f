# reconciler in a container: beside llama-swap (see compose.yml), or in a pipeline.
#
# Nothing is fetched where a folder `wheels` beside this file holds what is to be installed:
#   python3 -m pip wheel --wheel-dir wheels --constraint constraints.txt .
# with the Python that the base image has.
ARG BASE=python:3.12-slim
FROM ${BASE} AS build

# The folder may be missing, which a plain name would not allow.
COPY pyproject.toml constraints.txt README.md LICENSE wheel[s] /src/
COPY reconciler /src/reconciler
# Without pip inside, the environment is a third smaller.
RUN set -e; \
    what=/src; \
    if ls /src/*.whl >/dev/null 2>&1; then what="--no-index --find-links /src reconciler"; fi; \
    python3 -m venv --without-pip /opt/reconciler; \
    python3 -m pip --python /opt/reconciler/bin/python3 install \
        --no-cache-dir --disable-pip-version-check --constraint /src/constraints.txt $what

FROM ${BASE}
COPY --from=build /opt/reconciler /opt/reconciler
ENV PATH=/opt/reconciler/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
# No root inside. compose.yml gives the IDs that own the models folder.
USER 10001
WORKDIR /tmp
ENTRYPOINT ["reconcile"]
