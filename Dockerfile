# A small image that runs as nobody in particular:
#   docker build -t linkerd-tcp .
#   docker run -p 7474:7474 -p 127.0.0.1:9989:9989 -v "$PWD/my:/etc/linkerd-tcp:ro" linkerd-tcp
# The entry point takes PATH and options, so the file can be checked, or the image tried with nothing to balance:
#   docker run linkerd-tcp --check /etc/linkerd-tcp/linkerd-tcp.yml
#   docker run -p 7474:7474 linkerd-tcp --backends 8081-8083 /etc/linkerd-tcp/linkerd-tcp.yml

ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
WORKDIR /src
COPY setup.py pyproject.toml README.md LICENSE ./
COPY linkerd_tcp linkerd_tcp
COPY namers namers
RUN python -m venv /opt/linkerd-tcp \
 && /opt/linkerd-tcp/bin/pip install --no-cache-dir . \
 && /opt/linkerd-tcp/bin/pip uninstall --yes pip

FROM python:${PYTHON}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin linkerd-tcp
COPY --from=build /opt/linkerd-tcp /opt/linkerd-tcp
COPY contrib/docker.yml /etc/linkerd-tcp/linkerd-tcp.yml
COPY disco /etc/linkerd-tcp/disco
ENV PATH=/opt/linkerd-tcp/bin:$PATH PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /etc/linkerd-tcp
EXPOSE 7474 9989
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9989/live', timeout=2).close()"]
ENTRYPOINT ["linkerd-tcp"]
CMD ["/etc/linkerd-tcp/linkerd-tcp.yml"]
