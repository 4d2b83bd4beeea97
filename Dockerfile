# tfgrpo for servers and pipelines: the command line, bubblewrap for code that models write, no root, no compiler.
#   docker build -t tfgrpo .        docker run --rm -v "$PWD:/data" tfgrpo learn problems.jsonl --grader exact --model tiny
# Debian's own Python 3.13 is smaller than that of the Python images.
FROM debian:trixie-slim AS build
# Debian keeps no old versions, so a version named here would soon be one that is not there.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends python3 python3-venv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY tfgrpo tfgrpo
COPY experience_db experience_db
COPY prompts prompts
# Bytecode is made when it is needed: it would be a fifth of the image.
RUN python3 -m venv /opt/tfgrpo \
    && /opt/tfgrpo/bin/pip install --no-cache-dir --no-compile ".[mcp]" \
    # litellm wants boto3 for Bedrock alone, huggingface_hub takes hf_xet where it is there.
    && /opt/tfgrpo/bin/pip uninstall --yes boto3 botocore s3transfer hf-xet pip \
    # Tests of other packages, and the pages of litellm's own server.
    && find /opt/tfgrpo -type d -name tests -prune -exec rm -r {} + \
    && rm -rf /opt/tfgrpo/lib/python3.13/site-packages/litellm/proxy/_experimental/out

FROM debian:trixie-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 ca-certificates bubblewrap \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home tfgrpo \
    && install -d -o tfgrpo -g tfgrpo /data
COPY --from=build /opt/tfgrpo /opt/tfgrpo
ENV PATH=/opt/tfgrpo/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TFGRPO_DB=/data/experience.db
USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["tfgrpo"]
CMD ["--help"]
