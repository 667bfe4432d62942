# syntax=docker/dockerfile:1
# One image for migrate, api and worker: the command says which.

FROM python:3.13-slim AS packages
WORKDIR /build
COPY requirements/bootstrap.txt requirements/runtime.txt ./
RUN python -m venv /opt/venv \
 && python -m venv /opt/installer \
 && /opt/installer/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r bootstrap.txt \
 && /opt/installer/bin/uv pip install --no-cache --python /opt/venv/bin/python --compile-bytecode \
      --require-hashes -r runtime.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tickwheel
COPY --from=packages /opt/venv /opt/venv
# The source as it is, on the path: nothing is built that a hash does not pin.
COPY app /opt/tickwheel/app
COPY tickwheel /opt/tickwheel/tickwheel
RUN /opt/venv/bin/python -m compileall -q /opt/tickwheel
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/tickwheel \
    PYTHONUNBUFFERED=1
USER tickwheel
WORKDIR /opt/tickwheel
EXPOSE 8080
ENTRYPOINT ["python", "-m", "app"]
CMD ["--help"]
