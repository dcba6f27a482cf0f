# reconciler in a container: beside llama-swap (see compose.yml), or in a pipeline.
ARG BASE=python:3.12-slim
FROM ${BASE}

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY reconciler ./reconciler
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && rm -rf /src

# No root inside. compose.yml gives the IDs that own the models folder and may use Docker's socket.
RUN useradd --uid 10001 --create-home reconciler
USER 10001
WORKDIR /home/reconciler
ENV PYTHONUNBUFFERED=1

ENTRYPOINT ["reconcile"]
